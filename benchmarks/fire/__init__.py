"""Re-embed under fire: a live migration with clients at work while processes are killed.

What the clients were told is kept as a history, and judged when all is over: by searches with
`exact=true`, and by the tables.
"""
