"""Storage against a real database."""
