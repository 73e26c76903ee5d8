"""HNSW indexes: when to build one, how wide to search it, and how its recall is measured."""
