"""Texts to token ids: tokenizing, chunking, and checking what clients send."""
