"""Measures the service as a user meets it: over HTTP, beside what it is built on.

    make bench DATA=FOLDER                      everything, as `python -m benchmarks --data FOLDER`
    python -m benchmarks ingest --data FOLDER   one part, as README.md lists them

FOLDER holds `scifact/` and `wordnet/` (corpus.jsonl, queries.jsonl, qrels.tsv, as BEIR has them).
Every part prints figures beside what they are measured against; none is a test.
"""
