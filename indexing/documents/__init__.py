"""Writes: documents are chunked, embedded and stored; the backlog fills what an index lacks."""
