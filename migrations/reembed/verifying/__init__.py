"""Whether a target index is good enough to replace its source: measurements, gates, report."""
