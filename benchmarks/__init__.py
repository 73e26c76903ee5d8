"""Benchmarks of the running service over HTTP, compared with the components it is built on.

    make bench DATA=FOLDER                      everything, as `python -m benchmarks --data FOLDER`
    python -m benchmarks ingest --data FOLDER   one of the parts listed in README.md

FOLDER holds `scifact/` and `wordnet/` in BEIR's format (corpus.jsonl, queries.jsonl, qrels.tsv).
Every part prints its figures next to a baseline. The benchmarks measure; they are not tests.
"""
