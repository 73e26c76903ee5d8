"""The HNSW index over a table of vectors: claimed, built concurrently, watched, cleaned up."""

import dataclasses
from collections.abc import Sequence

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage import vector_tables, vectors
from storage.indexes import IndexRow

# In memory a graph of m=16 takes about 1.3 times its size on disk. Rows that exceed the setting are
# inserted on disk, many times slower.
_BYTES_PER_ROW = 1200
_MAX_MEMORY_MB = 2048
_MIN_MEMORY_MB = 64


@dataclasses.dataclass(frozen=True)
class BuildProgress:
    """Blocks or tuples of a build in progress, as PostgreSQL reports them."""

    phase: str
    done: int
    total: int

    @property
    def share(self) -> float:
        return self.done / self.total if self.total else 0.0


def name(index_id: int) -> str:
    return f"{vector_tables.name(index_id)}_hnsw"


async def claim(conn: AsyncConnection, index_id: int) -> bool:
    """Claim the build of this index; False if another process has it."""
    result = await conn.execute(
        text("UPDATE indexes SET hnsw = 'building' WHERE id = :id AND hnsw = 'none'"),
        {"id": index_id},
    )
    return result.rowcount == 1


async def release_abandoned(conn: AsyncConnection, index_id: int) -> bool:
    """Release a build whose process died; True if there was one."""
    if await progress(conn, index_id) is not None:
        return False
    result = await conn.execute(
        text("UPDATE indexes SET hnsw = 'none' WHERE id = :id AND hnsw = 'building'"),
        {"id": index_id},
    )
    return result.rowcount == 1


async def build(engine: AsyncEngine, index: IndexRow, *, workers: int, rows: int) -> None:
    """CREATE INDEX CONCURRENTLY, after dropping what a crash left of an earlier build.

    Without parallel workers if the shared memory is too small for them (64 MB in a container).
    Writes continue meanwhile.
    """
    memory = min(_MAX_MEMORY_MB, max(_MIN_MEMORY_MB, rows * _bytes_per_row(index) // 1_000_000))
    async with engine.connect() as plain:
        conn = await plain.execution_options(isolation_level="AUTOCOMMIT")
        await conn.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {name(index.id)}"))
        try:
            await _create(conn, index, memory_mb=memory, workers=workers)
        except DBAPIError as error:
            if not isinstance(error.orig, psycopg.errors.DiskFull) or workers == 0:
                raise
            await conn.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {name(index.id)}"))
            await _create(conn, index, memory_mb=memory, workers=0)
        await conn.execute(text(f"ANALYZE {index.table}"))


def _bytes_per_row(index: IndexRow) -> int:
    return int((_BYTES_PER_ROW + 2 * index.dimensions) * 1.3)


async def _create(conn: AsyncConnection, index: IndexRow, *, memory_mb: int, workers: int) -> None:
    settings = {
        "maintenance_work_mem": f"{memory_mb}MB",
        "max_parallel_maintenance_workers": str(workers),
        "lock_timeout": "0",
        "statement_timeout": "0",
    }
    try:
        for key, value in settings.items():
            await conn.execute(
                text("SELECT set_config(:key, :value, false)"), {"key": key, "value": value}
            )
        await conn.execute(
            text(
                f"CREATE INDEX CONCURRENTLY {name(index.id)} ON {index.table}"
                " USING hnsw (embedding halfvec_cosine_ops)"
                f" WITH (m = {vectors.M}, ef_construction = {vectors.EF_CONSTRUCTION})"
            )
        )
    finally:
        if not conn.invalidated:
            for key in settings:
                await conn.execute(text(f"RESET {key}"))


async def is_valid(conn: AsyncConnection, index_id: int) -> bool:
    query = text(
        "SELECT i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        " WHERE c.relname = :name AND pg_table_is_visible(c.oid)"
    )
    return bool((await conn.execute(query, {"name": name(index_id)})).scalar_one_or_none())


async def progress(conn: AsyncConnection, index_id: int) -> BuildProgress | None:
    """The build in progress, or None."""
    query = text(
        "SELECT phase, CASE WHEN tuples_total > 0 THEN tuples_done ELSE blocks_done END,"
        " CASE WHEN tuples_total > 0 THEN tuples_total ELSE blocks_total END"
        " FROM pg_stat_progress_create_index"
        " WHERE datname = current_database() AND relid = to_regclass(:name)"
    )
    row = (await conn.execute(query, {"name": vector_tables.name(index_id)})).first()
    return None if row is None else BuildProgress(*row)


async def count_inserted(conn: AsyncConnection, index_ids: Sequence[int]) -> dict[int, int]:
    """Rows ever inserted into each index's table, by every process: shows which grow fast."""
    query = text(
        "SELECT n.id, coalesce(pg_stat_get_tuples_inserted(to_regclass(n.name)), 0)"
        " FROM unnest(CAST(:ids AS int[]), CAST(:names AS text[])) AS n(id, name)"
    )
    names = [vector_tables.name(id_) for id_ in index_ids]
    rows = await conn.execute(query, {"ids": list(index_ids), "names": names})
    return {row.id: int(row[1]) for row in rows}
