"""The CLI without a service."""
