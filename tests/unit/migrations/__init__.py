"""Unit tests of re-embed migrations."""
