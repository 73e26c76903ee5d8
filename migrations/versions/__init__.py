"""Alembic's revisions, numbered and frozen."""
