"""What ended a worker's step: whether it passes by itself, and how it is told to people."""

import psycopg
from sqlalchemy.exc import DBAPIError

from embedding.errors import EmbeddingError, EncoderDied, Overloaded
from indexing import errors as indexing
from migrations.reembed import errors
from storage import engine as database
from storage.errors import IndexChanged

_PASSING = (indexing.Busy, indexing.ModelMissing, Overloaded, EncoderDied, IndexChanged)


def passes(error: Exception) -> bool:
    """What is tried again: something was away or full for a moment, or another won.

    Another worker may have the model that this one lost.
    """
    return (
        isinstance(error, _PASSING)
        or database.is_unavailable(error)
        or database.is_conflict(error)
        or database.is_gone(error)
    )


def reason(error: Exception) -> str:
    """What happened, and what to do."""
    if isinstance(error, indexing.IndexingError | EmbeddingError | errors.MigrationError):
        return str(error)
    if isinstance(error, DBAPIError):
        return _of_database(error)
    return f"{type(error).__name__}: {error}"


def _of_database(error: DBAPIError) -> str:
    said = str(error.orig).strip()
    if isinstance(error.orig, psycopg.errors.DiskFull) and "shared memory" in said:
        return (
            f"too little shared memory for the HNSW build ({said}): give the container more "
            "(`--shm-size 1g`), then resume"
        )
    if isinstance(error.orig, psycopg.errors.DiskFull):
        return f"the disk is full ({said}): free some space, then resume"
    return said
