"""Encoders turn token ids into vectors: OpenVINO, torch, and tables of static models."""
