"""The CLI against a running service."""
