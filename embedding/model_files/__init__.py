"""Reads a model's files, without torch, and says which space the model makes."""
