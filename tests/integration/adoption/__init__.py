"""Tables of another program, adopted from a database of their own."""
