"""Documents by which an index is judged: a random sample, or documents named by keys."""

import dataclasses
from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.tables import documents


@dataclasses.dataclass(frozen=True)
class SampledText:
    """The beginning of a document's text; `size` is the whole text's in bytes."""

    beginning: str
    size: int


async def count(conn: AsyncConnection, collection_id: UUID) -> int:
    """All documents of the collection."""
    query = select(func.count()).where(documents.c.collection_id == collection_id)
    return (await conn.execute(query)).scalar_one()


async def texts(
    conn: AsyncConnection, collection_id: UUID, *, start: UUID, count: int, chars: int
) -> list[SampledText]:
    """Up to `count` documents whose keys follow `start`, with at most `chars` of each text.

    Keys are hashes, so documents with neighbouring keys have nothing in common: from a random
    `start` this is a random sample that costs no more than reading it.
    """
    rows = await conn.execute(
        text(f"SELECT left(text, {chars:d}), octet_length(text) FROM {_following(count)}"),
        {"collection": collection_id, "start": start},
    )
    return [SampledText(*row) for row in rows]


async def sizes(
    conn: AsyncConnection, collection_id: UUID, *, start: UUID, count: int
) -> list[int]:
    """Bytes of the texts that `texts` would return, without decompressing any."""
    rows = await conn.execute(
        text(f"SELECT octet_length(text) FROM {_following(count)}"),
        {"collection": collection_id, "start": start},
    )
    return list(rows.scalars())


def _following(count: int) -> str:
    """From `start` upwards, then from the first key on. The outer query must not sort."""
    part = (
        "(SELECT {half} AS half, doc_key, text FROM documents WHERE collection_id = :collection"
        " AND doc_key {side} :start ORDER BY doc_key LIMIT {count:d})"
    )
    halves = (part.format(half=no, side=side, count=count) for no, side in enumerate((">=", "<")))
    return f"({' UNION ALL '.join(halves)} ORDER BY half, doc_key LIMIT {count:d}) AS following"


async def existing_keys(conn: AsyncConnection, doc_keys: Iterable[UUID]) -> set[UUID]:
    """The keys that belong to a document."""
    rows = await conn.execute(
        text("SELECT doc_key FROM documents WHERE doc_key = ANY(CAST(:keys AS uuid[]))"),
        {"keys": list(doc_keys)},
    )
    return set(rows.scalars())
