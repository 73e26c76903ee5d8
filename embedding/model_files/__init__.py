"""Reads a model's files, without torch, and identifies the model's space."""
