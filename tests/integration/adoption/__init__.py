"""Tables of another program, adopted from a separate database."""
