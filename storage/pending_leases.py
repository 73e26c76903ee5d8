"""Leases of pending texts: which worker embeds them now, by the database's clock."""

import dataclasses
from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import pending

# A text that was claimed this often without a result may be what killed its workers.
_SUSPECT_ATTEMPTS = 2
# A claim reads texts of at most this size together, or a single text.
_MAX_CLAIM_BYTES = 1_000_000
_UNLEASED = "(p.lease_until IS NULL OR p.lease_until < now())"
# The rows whose hash and epoch are still those of the claims; the values are `_claim_values`.
_STILL_CLAIMED = (
    "unnest(CAST(:keys AS uuid[]), CAST(:hashes AS bytea[]), CAST(:epochs AS bigint[]))"
    " AS n(k, h, e) WHERE p.index_id = :index"
    " AND p.doc_key = n.k AND p.text_hash = n.h AND p.lease_epoch = n.e"
)


@dataclasses.dataclass(frozen=True)
class Claim:
    """A document leased for embedding; the lease lasts while its epoch is the row's."""

    doc_key: UUID
    id: str
    text: str
    text_hash: bytes
    epoch: int


async def claim(
    conn: AsyncConnection, index_id: int, *, owner: str, limit: int, lease_s: int
) -> list[Claim]:
    """Lease up to `limit` documents, by the database's clock; no one else gets the same ones.

    Together they have at most about 1 MB of text. A document whose last attempts ended without a
    result comes alone, so that a text which kills the process takes no others with it. After
    MAX_ATTEMPTS it is set aside.
    """
    values = {"index": index_id, "owner": owner, "lease": lease_s}
    claims = await _claim(conn, values, f"attempts < {_SUSPECT_ATTEMPTS}", limit)
    if claims:
        return claims
    await _remove_stale(conn, index_id)
    await _give_up(conn, index_id)
    return await _claim(conn, values, f"attempts < {pending.MAX_ATTEMPTS}", 1)


async def _claim(
    conn: AsyncConnection, values: Mapping[str, object], condition: str, limit: int
) -> list[Claim]:
    rows = await conn.execute(
        text(
            "WITH due AS (SELECT p.index_id, p.doc_key, octet_length(d.text) AS size"
            " FROM pending p JOIN documents d ON d.doc_key = p.doc_key"
            " AND d.text_hash = p.text_hash WHERE p.index_id = :index"
            f" AND {_UNLEASED} AND p.{condition}"
            f" ORDER BY p.doc_key LIMIT {limit:d} FOR UPDATE OF p SKIP LOCKED), fitting AS ("
            " SELECT *, sum(size) OVER (ORDER BY doc_key) - size AS before FROM due), leased AS ("
            " UPDATE pending p SET lease_owner = :owner, lease_epoch = p.lease_epoch + 1,"
            " attempts = p.attempts + 1, lease_until = now() + make_interval(secs => :lease)"
            " FROM fitting f WHERE p.index_id = f.index_id AND p.doc_key = f.doc_key"
            f" AND f.before < {_MAX_CLAIM_BYTES:d}"
            " RETURNING p.doc_key, p.text_hash, p.lease_epoch)"
            " SELECT l.doc_key, d.id, d.text, l.text_hash, l.lease_epoch FROM leased l"
            " JOIN documents d ON d.doc_key = l.doc_key AND d.text_hash = l.text_hash"
        ),
        values,
    )
    # In the order in which everyone locks rows.
    return sorted((Claim(*row) for row in rows), key=lambda claim: claim.doc_key)


async def _remove_stale(conn: AsyncConnection, index_id: int) -> None:
    """Remove rows that nobody has leased and whose document is gone or has a new text."""
    await conn.execute(
        text(
            f"DELETE FROM pending p WHERE p.index_id = :index AND {_UNLEASED}"
            " AND NOT EXISTS (SELECT 1 FROM documents d WHERE d.doc_key = p.doc_key"
            " AND d.text_hash = p.text_hash)"
        ),
        {"index": index_id},
    )


async def _give_up(conn: AsyncConnection, index_id: int) -> None:
    """Set aside texts whose last of MAX_ATTEMPTS ended without a result."""
    await conn.execute(
        text(
            f"UPDATE pending p SET error = :reason WHERE p.index_id = :index AND {_UNLEASED}"
            " AND p.error IS NULL AND p.attempts >= :most"
        ),
        {"index": index_id, "most": pending.MAX_ATTEMPTS, "reason": pending.GAVE_UP},
    )


async def renew(
    conn: AsyncConnection, index_id: int, claims: Sequence[Claim], lease_s: float
) -> None:
    """Extend the leases that are still valid."""
    await conn.execute(
        text(
            f"UPDATE pending p SET lease_until = now() + make_interval(secs => :lease) "
            f"FROM {_STILL_CLAIMED}"
        ),
        {**_claim_values(index_id, claims), "lease": lease_s},
    )


async def release(conn: AsyncConnection, index_id: int, claims: Sequence[Claim]) -> None:
    """Give back claims that failed for a reason other than their texts: not counted as attempts."""
    await conn.execute(
        text(
            "UPDATE pending p SET lease_until = NULL, attempts = greatest(p.attempts - 1, 0)"
            f" FROM {_STILL_CLAIMED} AND p.error IS NULL"
        ),
        _claim_values(index_id, claims),
    )


def _claim_values(index_id: int, claims: Sequence[Claim]) -> dict[str, object]:
    return {
        "index": index_id,
        "keys": [claim.doc_key for claim in claims],
        "hashes": [claim.text_hash for claim in claims],
        "epochs": [claim.epoch for claim in claims],
    }


async def complete(conn: AsyncConnection, index_id: int, claims: Sequence[Claim]) -> None:
    """Delete the rows whose hash and epoch are still those of the claims."""
    await conn.execute(
        text(f"DELETE FROM pending p USING {_STILL_CLAIMED}"), _claim_values(index_id, claims)
    )


async def fail(conn: AsyncConnection, index_id: int, claim: Claim, reason: str) -> None:
    """Set the text aside with the reason; it is not tried again until it changes."""
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
