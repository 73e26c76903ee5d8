"""What a migration would take before it starts: time, disk, memory, and warnings."""
