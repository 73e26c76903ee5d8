"""Re-embed migrations against a real database."""
