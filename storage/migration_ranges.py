"""The ranges of document keys that a re-embed migration's workers share out by leases."""

import dataclasses
from uuid import UUID

from sqlalchemy import func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import vector_tables
from storage.tables import migration_ranges

_KEYS = 1 << 128
# A range that was claimed more often without progress may hold a text that kills its workers.
_MAX_UNSUSPICIOUS_ATTEMPTS = 2


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
        """Its workers ended repeatedly before they had written anything."""
        return self.attempts > _MAX_UNSUSPICIOUS_ATTEMPTS


@dataclasses.dataclass(frozen=True)
class Totals:
    """The progress of all ranges of a migration; `workers` is how many hold leases now."""

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
    """Split the key space into equal parts.

    Keys are digests (uuid5), so equal parts hold about equally many documents.
    """
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
    """Lease a range that nobody works on; None if there is none now."""
    result = await conn.execute(
        text(
            "UPDATE migration_ranges r SET lease_owner = :owner, lease_epoch = r.lease_epoch + 1,"
            " attempts = r.attempts + 1, lease_until = now() + make_interval(secs => :lease)"
            # A scalar subquery runs once; a joined one can run for every row.
            " WHERE r.migration_id = :id AND r.no = (SELECT no FROM migration_ranges"
            "  WHERE migration_id = :id AND NOT finished"
            "  AND (lease_until IS NULL OR lease_until < now())"
            "  ORDER BY no LIMIT 1 FOR UPDATE SKIP LOCKED)"
            " RETURNING r.migration_id, r.no, r.low, r.high, r.cursor, r.lease_epoch, r.attempts"
        ),
        {"id": migration_id, "owner": owner, "lease": lease_s},
    )
    row = result.first()
    return None if row is None else Range(*row)


async def renew(conn: AsyncConnection, leased: Range, lease_s: float) -> bool:
    """Extend the lease; False if another worker has taken over the range."""
    result = await conn.execute(
        text(
            "UPDATE migration_ranges SET lease_until = now() + make_interval(secs => :lease)"
            " WHERE migration_id = :id AND no = :no AND lease_epoch = :epoch"
        ),
        {"lease": lease_s, "id": leased.migration_id, "no": leased.no, "epoch": leased.epoch},
    )
    return result.rowcount == 1


async def record_progress(
    conn: AsyncConnection, leased: Range, *, documents: int, chunks: int
) -> bool:
    """Count what this transaction writes; False if the lease was lost: then roll back."""
    result = await conn.execute(
        text(
            "UPDATE migration_ranges SET attempts = 0,"
            " done = done + :documents, chunks = chunks + :chunks"
            " WHERE migration_id = :id AND no = :no AND lease_epoch = :epoch"
        ),
        {
            "documents": documents,
            "chunks": chunks,
            "id": leased.migration_id,
            "no": leased.no,
            "epoch": leased.epoch,
        },
    )
    return result.rowcount == 1


async def advance(
    conn: AsyncConnection, leased: Range, position: UUID | None, *, finished: bool
) -> bool:
    """Record that everything up to `position` is done; False if the lease was lost."""
    result = await conn.execute(
        text(
            "UPDATE migration_ranges SET attempts = 0, cursor = coalesce(:position, cursor),"
            " finished = :finished, lease_until = CASE WHEN :finished THEN NULL ELSE lease_until"
            " END WHERE migration_id = :id AND no = :no AND lease_epoch = :epoch"
        ),
        {
            "position": position,
            "finished": finished,
            "id": leased.migration_id,
            "no": leased.no,
            "epoch": leased.epoch,
        },
    )
    return result.rowcount == 1


async def release(conn: AsyncConnection, leased: Range) -> None:
    """Let another worker claim it immediately, without counting an attempt."""
    await conn.execute(
        text(
            "UPDATE migration_ranges SET lease_until = NULL, attempts = greatest(attempts - 1, 0)"
            " WHERE migration_id = :id AND no = :no AND lease_epoch = :epoch"
        ),
        {"id": leased.migration_id, "no": leased.no, "epoch": leased.epoch},
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
    leased: Range,
    *,
    collection_id: UUID,
    index_id: int,
    after: UUID | None,
    limit: int,
    max_bytes: int,
) -> list[SourceDocument]:
    """The next documents of the range that the index lacks, sorted by key.

    Together they have about `max_bytes` of text, but a single document can have more.
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
            "low": leased.low,
            "high": leased.high,
            "after": after,
            "most": max_bytes,
        },
    )
    return [SourceDocument(*row) for row in rows]
