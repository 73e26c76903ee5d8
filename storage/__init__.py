"""PostgreSQL: tables, documents, indexes, vectors, search, leases. Knows no model.

Functions take a connection; the caller decides where a transaction begins and ends.
"""
