"""Checks whether a target index can replace its source: measurements, gates, report."""
