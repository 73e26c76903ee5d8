"""Another program's table of texts and vectors: found in its database, its columns checked.

The names that a person gives reach SQL only as identifiers.
"""

import dataclasses

from psycopg import sql
from psycopg.rows import class_row

from storage import errors
from storage.adoption import source_connections
from storage.adoption.source_connections import Connection

_VECTOR_TYPES = ("vector", "halfvec")
_TEXT_TYPES = ("text", "varchar", "bpchar", "citext", "name")
_SHOWN = 20


@dataclasses.dataclass(frozen=True)
class TableColumns:
    """The names that a person gives the table and its columns; `table` can include a schema."""

    table: str
    id_column: str
    text_column: str
    embedding_column: str
    metadata_columns: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Column:
    """`base_type` is the type below a domain; `type_name` is the type as SQL writes it."""

    name: str
    base_type: str
    type_name: str
    dimensions: int | None


@dataclasses.dataclass(frozen=True)
class SourceTable:
    """`dimensions` is None if the column takes vectors of any length."""

    schema: str
    name: str
    id: Column
    text: Column
    embedding: Column
    metadata: tuple[Column, ...]

    @property
    def label(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def dimensions(self) -> int | None:
        return self.embedding.dimensions

    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)


_FIND = """
SELECT c.oid::bigint, n.nspname, c.relname FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = %(name)s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
AND (n.nspname = %(schema)s OR %(schema)s::text IS NULL AND n.nspname = ANY(current_schemas(false)))
ORDER BY array_position(current_schemas(false), n.nspname) LIMIT 1
"""
_COLUMNS = """
SELECT a.attname AS name, coalesce(b.typname, t.typname)::text AS base_type,
       format_type(a.atttypid, a.atttypmod) AS type_name,
       nullif(CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END, -1) AS dimensions
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_type b ON b.oid = t.typbasetype
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_WITH_VECTORS = """
SELECT DISTINCT n.nspname || '.' || c.relname AS name FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
JOIN pg_type t ON t.oid = a.atttypid
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND t.typname = ANY(%s) AND NOT a.attisdropped
ORDER BY 1
"""


async def find(connection: Connection, names: TableColumns) -> SourceTable:
    """Raises SourceUnusable, naming what is missing and what exists instead."""
    schema, _, name = names.table.rpartition(".")
    async with source_connections.snapshot(connection, names.table):
        table = await _find_table(connection, schema or None, name)
        if table is None and schema:  # the dot can be part of the table's own name
            table = await _find_table(connection, None, names.table)
        if table is None:
            raise errors.SourceUnusable(await _describe_missing(connection, names.table))
        oid, schema, name = table
        async with connection.cursor(row_factory=class_row(Column)) as cursor:
            await cursor.execute(_COLUMNS, [oid])
            columns = {column.name: column for column in await cursor.fetchall()}
    label = f"{schema}.{name}"
    return SourceTable(
        schema,
        name,
        id=_find_column(columns, names.id_column, label),
        text=_check_text(_find_column(columns, names.text_column, label), label),
        embedding=_check_embedding(_find_column(columns, names.embedding_column, label), label),
        metadata=tuple(_find_column(columns, column, label) for column in names.metadata_columns),
    )


async def _find_table(
    connection: Connection, schema: str | None, name: str
) -> tuple[int, str, str] | None:
    cursor = await connection.execute(_FIND, {"schema": schema, "name": name})
    row = await cursor.fetchone()
    return None if row is None else (int(str(row[0])), str(row[1]), str(row[2]))


async def _describe_missing(connection: Connection, table: str) -> str:
    cursor = await connection.execute(_WITH_VECTORS, [list(_VECTOR_TYPES)])
    tables = [str(row[0]) for row in await cursor.fetchall()]
    listed = ", ".join(tables[:_SHOWN]) or "none"
    more = f" and {len(tables) - _SHOWN} more" if len(tables) > _SHOWN else ""
    return (
        f"there is no table {table} in this database (or its schema is not in the search path);"
        f" tables with vectors here: {listed}{more}"
    )


def _find_column(columns: dict[str, Column], name: str, label: str) -> Column:
    if name not in columns:
        existing = ", ".join(f"{column.name} ({column.type_name})" for column in columns.values())
        raise errors.SourceUnusable(f"{label} has no column {name}; it has: {existing}")
    return columns[name]


def _check_text(column: Column, label: str) -> Column:
    if column.base_type not in _TEXT_TYPES:
        raise errors.SourceUnusable(
            f"the column {column.name} of {label} is {column.type_name}; the texts must have a "
            "type such as text or varchar"
        )
    return column


def _check_embedding(column: Column, label: str) -> Column:
    if column.base_type not in _VECTOR_TYPES:
        raise errors.SourceUnusable(
            f"the column {column.name} of {label} is {column.type_name}; only pgvector's "
            "vector and halfvec can be adopted (a view can cast another type)"
        )
    return column
