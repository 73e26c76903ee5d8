"""Writes: documents are cut, embedded and stored; what an index still lacks is worked off later."""
