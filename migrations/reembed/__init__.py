"""Re-embed migrations: moving a collection to another model or chunking while it stays online."""
