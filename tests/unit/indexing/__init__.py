"""Indexing without a database or a model."""
