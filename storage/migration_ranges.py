"""The ranges of document keys that the workers of a re-embed migration share."""

import dataclasses
from uuid import UUID

from sqlalchemy import func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import vector_tables
from storage.tables import migration_ranges

_KEYS = 1 << 128
# A text may be what ends the workers.
_SUSPECT = 2


@dataclasses.dataclass(frozen=True)
class Range:
    """Keys from `low` to `high`, done up to `position`; leased while its epoch is the row's."""

    migration_id: UUID
    no: int
    low: UUID
    high: UUID
    position: UUID | None
    epoch: int
    attempts: int

    @property
    def is_suspect(self) -> bool:
        """Those who had it were cut off again and again before they had written anything."""
        return self.attempts > _SUSPECT


@dataclasses.dataclass(frozen=True)
class Totals:
    """What the ranges of one migration have come to; `workers` hold leases just now."""

    documents: int
    chunks: int
    unfinished: int
    workers: int


@dataclasses.dataclass(frozen=True)
class SourceDocument:
    """A document that the target index lacks."""

    doc_key: UUID
    id: str
    text: str
    text_hash: bytes


async def create(conn: AsyncConnection, migration_id: UUID, count: int) -> None:
    """Keys are digests (uuid5): equal parts of the key space hold about equally many documents."""
    bounds = [_KEYS * no // count for no in range(count + 1)]
    rows = [
        {
            "migration_id": migration_id,
            "no": no,
            "low": UUID(int=bounds[no]),
            "high": UUID(int=bounds[no + 1] - 1),
        }
        for no in range(count)
    ]
    await conn.execute(insert(migration_ranges), rows)


async def claim(
    conn: AsyncConnection, migration_id: UUID, *, owner: str, lease_s: float
) -> Range | None:
    """Lease a range that nobody works on; None where there is none just now."""
    found = await conn.execute(
        text(
            "UPDATE migration_ranges r SET lease_owner = :owner, lease_epoch = r.lease_epoch + 1,"
            " attempts = r.attempts + 1, lease_until = now() + make_interval(secs => :lease)"
            # A scalar subquery is run once; as a joined one it may be run for every row.
            " WHERE r.migration_id = :id AND r.no = (SELECT no FROM migration_ranges"
            "  WHERE migration_id = :id AND NOT finished"
            "  AND (lease_until IS NULL OR lease_until < now())"
            "  ORDER BY no LIMIT 1 FOR UPDATE SKIP LOCKED)"
            " RETURNING r.migration_id, r.no, r.low, r.high, r.cursor, r.lease_epoch, r.attempts"
        ),
        {"id": migration_id, "owner": owner, "lease": lease_s},
    )
    row = found.first()
    return None if row is None else Range(*row)


async def renew(conn: AsyncConnection, held: Range, lease_s: float) -> bool:
    """False where another worker has taken the range over."""
    done = await conn.execute(
        text(
            "UPDATE migration_ranges SET lease_until = now() + make_interval(secs => :lease)"
            " WHERE migration_id = :id AND no = :no AND lease_epoch = :epoch"
        ),
        {"lease": lease_s, "id": held.migration_id, "no": held.no, "epoch": held.epoch},
    )
    return done.rowcount == 1


async def record_progress(
    conn: AsyncConnection, held: Range, *, documents: int, chunks: int
) -> bool:
    """Note what this transaction writes; False where the lease was lost: then roll back."""
    done = await conn.execute(
        text(
            "UPDATE migration_ranges SET attempts = 0,"
            " done = done + :documents, chunks = chunks + :chunks"
            " WHERE migration_id = :id AND no = :no AND lease_epoch = :epoch"
        ),
        {
            "documents": documents,
            "chunks": chunks,
            "id": held.migration_id,
            "no": held.no,
            "epoch": held.epoch,
        },
    )
    return done.rowcount == 1


async def advance(
    conn: AsyncConnection, held: Range, position: UUID | None, *, finished: bool
) -> bool:
    """All up to `position` is done; False where the lease was lost."""
    done = await conn.execute(
        text(
            "UPDATE migration_ranges SET attempts = 0, cursor = coalesce(:position, cursor),"
            " finished = :finished, lease_until = CASE WHEN :finished THEN NULL ELSE lease_until"
            " END WHERE migration_id = :id AND no = :no AND lease_epoch = :epoch"
        ),
        {
            "position": position,
            "finished": finished,
            "id": held.migration_id,
            "no": held.no,
            "epoch": held.epoch,
        },
    )
    return done.rowcount == 1


async def release(conn: AsyncConnection, held: Range) -> None:
    """Let another worker take it at once."""
    await conn.execute(
        text(
            "UPDATE migration_ranges SET lease_until = NULL, attempts = greatest(attempts - 1, 0)"
            " WHERE migration_id = :id AND no = :no AND lease_epoch = :epoch"
        ),
        {"id": held.migration_id, "no": held.no, "epoch": held.epoch},
    )


async def totals(conn: AsyncConnection, migration_id: UUID) -> Totals:
    columns = migration_ranges.c
    is_leased = ~columns.finished & (columns.lease_until > func.now())
    query = select(
        func.coalesce(func.sum(columns.done), 0),
        func.coalesce(func.sum(columns.chunks), 0),
        func.count().filter(~columns.finished),
        func.count(columns.lease_owner.distinct()).filter(is_leased),
    ).where(columns.migration_id == migration_id)
    return Totals(*(int(value) for value in (await conn.execute(query)).one()))


async def next_documents(
    conn: AsyncConnection,
    held: Range,
    *,
    collection_id: UUID,
    index_id: int,
    after: UUID | None,
    limit: int,
    max_bytes: int,
) -> list[SourceDocument]:
    """The next documents of the range that the index lacks, by key; one at least if there is any.

    Together about `max_bytes` of text: one document can have megabytes.
    """
    table = vector_tables.name(index_id)
    rows = await conn.execute(
        text(
            "SELECT doc_key, id, text, text_hash FROM ("
            " SELECT doc_key, id, text, text_hash, sum(octet_length(text)) OVER (ORDER BY doc_key)"
            "  - octet_length(text) AS before FROM ("
            "  SELECT d.doc_key, d.id, d.text, d.text_hash FROM documents d"
            "  WHERE d.collection_id = :collection AND d.doc_key BETWEEN :low AND :high"
            "  AND (CAST(:after AS uuid) IS NULL OR d.doc_key > :after) AND NOT EXISTS ("
            f"   SELECT 1 FROM {table} v WHERE v.doc_key = d.doc_key"
            "    AND v.text_hash = d.text_hash)"
            f"  ORDER BY d.doc_key LIMIT {limit:d}) due) sized"
            " WHERE before < :most ORDER BY doc_key"
        ),
        {
            "collection": collection_id,
            "low": held.low,
            "high": held.high,
            "after": after,
            "most": max_bytes,
        },
    )
    return [SourceDocument(*row) for row in rows]
