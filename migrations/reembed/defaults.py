"""What a migration does unless its start says otherwise; imports nothing, for the wire schemas."""

RETAIN_S = 24 * 3600.0
RECALL = 0.98
# Above this, live searches feel slow; on an idle machine they take 10 to 20 ms.
QUERY_P95_MS = 100.0
