"""Re-embed under fire: a live migration with busy clients while processes are killed.

The clients' requests and answers are recorded, and checked at the end against searches with
`exact=true` and against the tables.
"""
