"""Vectors into one index, guarded: only those of a document's present text are written."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from indexing.embedded import Embedded, Failure
from storage import documents, pending, vectors
from storage.indexes import IndexRow


@dataclass(frozen=True, eq=False)
class Filled:
    """What became of one document's text: vectors, or the reason why there are none."""

    doc_key: UUID
    text_hash: bytes
    done: Embedded | Failure

    @property
    def chunks(self) -> int:
        return len(self.done.prepared.chunks) if isinstance(self.done, Embedded) else 0


async def write(conn: AsyncConnection, index: IndexRow, filled: Sequence[Filled]) -> list[Filled]:
    """In the caller's transaction, which has entered the fence; what was written.

    Documents that changed or are gone meanwhile are left out. What failed is set aside with its
    reason.
    """
    hashes = await documents.lock(conn, [one.doc_key for one in filled])
    present = [one for one in filled if hashes.get(one.doc_key) == one.text_hash]
    await put(conn, index, present)
    return present


async def put(conn: AsyncConnection, index: IndexRow, filled: Sequence[Filled]) -> None:
    """As `write`, of documents that the caller has locked with these texts."""
    good = [(one, one.done) for one in filled if isinstance(one.done, Embedded)]
    await vectors.remove(conn, index.id, [one.doc_key for one in filled])
    rows = [row for one, done in good for row in done.rows(one.doc_key, one.text_hash)]
    await vectors.copy_in(conn, index.id, rows)
    bad = [
        (one.doc_key, one.text_hash, f"{one.done.reason}: {one.done.detail}")
        for one in filled
        if isinstance(one.done, Failure)
    ]
    if bad:
        await pending.set_aside(conn, index.id, bad)
