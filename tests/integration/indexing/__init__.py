"""Indexing against a real PostgreSQL, with small models."""
