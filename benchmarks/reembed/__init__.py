"""Cost of a re-embed migration: backfill time, concurrent searches, cut-over and rollback."""
