"""HNSW indexes in a real PostgreSQL."""
