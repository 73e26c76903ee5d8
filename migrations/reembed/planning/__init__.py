"""Plans a migration before it starts: time, disk and memory, by measurement, and warnings."""
