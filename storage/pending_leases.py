"""Leases of pending texts: who embeds them now, by the database's clock."""

import dataclasses
from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import pending

# Claimed so often without a result, a text may be what ended those who had it.
_SUSPECT = 2
# Texts of so many bytes are read at once, or one.
_BYTES_AT_ONCE = 1_000_000
# The rows whose hash and epoch still are those of the claims; the values are `_ours`.
_OURS = (
    "unnest(CAST(:keys AS uuid[]), CAST(:hashes AS bytea[]), CAST(:epochs AS bigint[]))"
    " AS n(k, h, e) WHERE p.index_id = :index"
    " AND p.doc_key = n.k AND p.text_hash = n.h AND p.lease_epoch = n.e"
)


@dataclasses.dataclass(frozen=True)
class Claim:
    """A document leased for embedding; the lease holds while its epoch is the row's."""

    doc_key: UUID
    id: str
    text: str
    text_hash: bytes
    epoch: int


async def claim(
    conn: AsyncConnection, index_id: int, *, owner: str, limit: int, lease_s: int
) -> list[Claim]:
    """Lease up to `limit` documents, by the database's clock; others never see the same ones.

    Together they have about 1 MB of text at most. Those whose last attempts ended without a result
    come alone, so that one text which ends the process takes no others with it. After MAX_ATTEMPTS
    it is set aside.
    """
    values = {"index": index_id, "owner": owner, "lease": lease_s}
    fresh = await _claim(conn, values, f"attempts < {_SUSPECT}", limit)
    if fresh:
        return fresh
    await _settle_the_hopeless(conn, index_id)
    return await _claim(conn, values, f"attempts < {pending.MAX_ATTEMPTS}", 1)


async def _claim(
    conn: AsyncConnection, values: Mapping[str, object], condition: str, limit: int
) -> list[Claim]:
    rows = await conn.execute(
        text(
            "WITH due AS (SELECT p.index_id, p.doc_key, octet_length(d.text) AS size"
            " FROM pending p JOIN documents d ON d.doc_key = p.doc_key"
            " AND d.text_hash = p.text_hash WHERE p.index_id = :index"
            f" AND (p.lease_until IS NULL OR p.lease_until < now()) AND p.{condition}"
            f" ORDER BY p.doc_key LIMIT {limit:d} FOR UPDATE OF p SKIP LOCKED), fitting AS ("
            " SELECT *, sum(size) OVER (ORDER BY doc_key) - size AS before FROM due), leased AS ("
            " UPDATE pending p SET lease_owner = :owner, lease_epoch = p.lease_epoch + 1,"
            " attempts = p.attempts + 1, lease_until = now() + make_interval(secs => :lease)"
            " FROM fitting f WHERE p.index_id = f.index_id AND p.doc_key = f.doc_key"
            f" AND f.before < {_BYTES_AT_ONCE:d}"
            " RETURNING p.doc_key, p.text_hash, p.lease_epoch)"
            " SELECT l.doc_key, d.id, d.text, l.text_hash, l.lease_epoch FROM leased l"
            " JOIN documents d ON d.doc_key = l.doc_key AND d.text_hash = l.text_hash"
        ),
        values,
    )
    # In the order in which all others lock rows.
    return sorted((Claim(*row) for row in rows), key=lambda claim: claim.doc_key)


async def _settle_the_hopeless(conn: AsyncConnection, index_id: int) -> None:
    """What can come to nothing: nobody waits for it, or those who had it gave up."""
    free = "(p.lease_until IS NULL OR p.lease_until < now())"
    await conn.execute(
        text(
            f"DELETE FROM pending p WHERE p.index_id = :index AND {free}"
            " AND NOT EXISTS (SELECT 1 FROM documents d WHERE d.doc_key = p.doc_key"
            " AND d.text_hash = p.text_hash)"
        ),
        {"index": index_id},
    )
    await conn.execute(
        text(
            f"UPDATE pending p SET error = :reason WHERE p.index_id = :index AND {free}"
            " AND p.error IS NULL AND p.attempts >= :most"
        ),
        {"index": index_id, "most": pending.MAX_ATTEMPTS, "reason": pending.GAVE_UP},
    )


async def renew(
    conn: AsyncConnection, index_id: int, claims: Sequence[Claim], lease_s: float
) -> None:
    """Keep the leases that still are ours."""
    await conn.execute(
        text(
            f"UPDATE pending p SET lease_until = now() + make_interval(secs => :lease) FROM {_OURS}"
        ),
        {**_ours(index_id, claims), "lease": lease_s},
    )


async def release(conn: AsyncConnection, index_id: int, claims: Sequence[Claim]) -> None:
    """Give back what could not be done for no fault of the texts: it counts as no attempt."""
    await conn.execute(
        text(
            "UPDATE pending p SET lease_until = NULL, attempts = greatest(p.attempts - 1, 0)"
            f" FROM {_OURS} AND p.error IS NULL"
        ),
        _ours(index_id, claims),
    )


def _ours(index_id: int, claims: Sequence[Claim]) -> dict[str, object]:
    return {
        "index": index_id,
        "keys": [claim.doc_key for claim in claims],
        "hashes": [claim.text_hash for claim in claims],
        "epochs": [claim.epoch for claim in claims],
    }


async def complete(conn: AsyncConnection, index_id: int, claims: Sequence[Claim]) -> None:
    """Delete the rows whose hash and epoch still are those of the claims."""
    await conn.execute(text(f"DELETE FROM pending p USING {_OURS}"), _ours(index_id, claims))


async def fail(conn: AsyncConnection, index_id: int, claim: Claim, reason: str) -> None:
    """Keep the row with its reason; it is not tried again until the text changes."""
    await conn.execute(
        text(
            "UPDATE pending SET error = :reason, lease_until = NULL, attempts = :most"
            " WHERE index_id = :index AND doc_key = :key AND lease_epoch = :epoch"
        ),
        {
            "reason": reason,
            "index": index_id,
            "key": claim.doc_key,
            "epoch": claim.epoch,
            "most": pending.MAX_ATTEMPTS,
        },
    )
