"""Taking over a pgvector table of another program: which model made it, and importing its rows."""
