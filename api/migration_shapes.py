"""Re-embed migrations from what the engine knows to what goes over the wire."""

import re

from sqlalchemy.ext.asyncio import AsyncConnection

from api import migration_schemas, problems, schemas
from api.service import Service
from migrations.reembed import migration, options, status
from migrations.reembed.migration import Migration
from migrations.reembed.verifying.report import Report

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?) ?([smhd])?")
_LONGEST_S = 366 * 86400.0


async def shown(
    conn: AsyncConnection, service: Service, found: Migration
) -> migration_schemas.Migration:
    stands = await status.of(conn, found)
    row = found.row
    return migration_schemas.Migration(
        id=str(found.id),
        collection=found.collection.name,
        state=found.state,
        resume_state=found.resume_state,
        source=_side(service, found.sides.source),
        target=_side(service, found.sides.target),
        waiting=row.waiting,
        error=row.error,
        next=stands.next,
        options=found.options,
        progress=stands.progress,
        lag=stands.lag,
        failed=[migration_schemas.FailedText(id=id_, reason=why) for id_, why in stands.failed],
        verdict=None if row.report is None else Report.of(row.report).verdict,
        history=migration.moments(row.history),
        retained_until=row.retained_until,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _side(service: Service, side: migration.Side) -> migration_schemas.Side:
    return migration_schemas.Side(
        index=side.index,
        space=schemas.SpaceName(id=side.fingerprint, model=side.model_id),
        chunking=schemas.ChunkingShown(
            strategy=side.strategy, size=side.size, overlap=side.overlap
        ),
        loaded=any(one.fingerprint == side.fingerprint for one in service.models.loaded),
    )


def wished(sent: migration_schemas.NewMigration) -> options.Options:
    """Raises Invalid."""
    if sent.gates.ndcg_drop is not None and not sent.golden:
        raise problems.Invalid(
            "gates.ndcg_drop",
            "is measured by judged queries: send them as `golden` (--golden FILE)",
        )
    return options.Options(
        gates=options.Gates(
            recall=sent.gates.recall,
            ndcg_drop=sent.gates.ndcg_drop,
            overlap=sent.gates.overlap,
        ),
        manual=sent.manual,
        retain_s=seconds(sent.retain, "retain"),
        max_rate=sent.max_rate,
        query_p95_ms=sent.query_p95_ms,
        waive_failed=sent.waive_failed,
    )


def seconds(given: str | float, field: str) -> float:
    """`24h`, `30 m`, `90` in seconds. Raises Invalid."""
    match = _DURATION.fullmatch(given.strip()) if isinstance(given, str) else None
    if isinstance(given, str) and match is None:
        raise problems.Invalid(field, f"{given!r} is no duration such as 24h, 30m, 90s or 7d")
    found = float(match[1]) * _SECONDS[match[2] or "s"] if match else float(given)
    if found > _LONGEST_S:
        raise problems.Invalid(field, "is longer than a year")
    return found
