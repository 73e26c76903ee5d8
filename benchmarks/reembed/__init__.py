"""Cost of a re-embed migration: backfill time, concurrent searches, cutover and rollback."""
