"""`vecmark adopt`: a pgvector table becomes a collection that keeps the table's vectors."""
