"""Tables that another program filled with texts and vectors: found, sampled, read, never written.

Names go in only as identifiers. A vector comes as the bytes that PostgreSQL sends, so that the
extension may lie in any schema.
"""

import contextlib
import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Iterator

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import class_row
from sqlalchemy import make_url

from storage import engine, errors

# The numbers behind the header of four bytes: dimensions, and two that are unused.
_KINDS = {"vector": ">f4", "halfvec": ">f2"}
_HEADER = 4
_JSON = ("json", "jsonb")
# A page of texts as long as may be must fit into memory.
PAGE = 100
_SHOWN = 20
_SETTINGS: dict[str, str] = {"connect_timeout": "10", "application_name": "vecmark"}

Connection = psycopg.AsyncConnection[tuple[object, ...]]


@dataclasses.dataclass(frozen=True)
class TableColumns:
    """What a person calls the table and its columns; `table` may name its schema."""

    table: str
    id_column: str
    text_column: str
    embedding_column: str
    metadata_columns: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Column:
    name: str
    kind: str
    shown: str
    dimensions: int | None


@dataclasses.dataclass(frozen=True)
class SourceTable:
    """`dimensions` is None where the column takes vectors of any."""

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


@dataclasses.dataclass(frozen=True)
class TableCounts:
    rows: int
    texts: int
    vectors: int


@dataclasses.dataclass(frozen=True, eq=False)
class SourceRow:
    """`embedding` is as it is stored, of any length; `metadata` is a JSON object."""

    id: str | None
    text: str | None
    metadata: str
    embedding: NDArray[np.float32] | None


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    """A connection of its own that can only read. Raises SourceUnusable."""
    parsed = make_url(engine.psycopg_url(url))
    # Not as a URL: SQLAlchemy writes a space as "+", which libpq takes for a "+".
    parts = parsed.translate_connect_args(username="user", database="dbname")
    query = {
        key: part if isinstance(part, str) else ",".join(part) for key, part in parsed.query.items()
    }
    conninfo = make_conninfo("", **(_SETTINGS | parts | query))
    with _readable_errors(
        f"{parsed.set(drivername='postgresql').render_as_string(hide_password=True)}"
    ):
        connection = await psycopg.AsyncConnection.connect(conninfo, autocommit=True)
    async with connection:
        await connection.set_read_only(True)
        await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        yield connection


@contextlib.asynccontextmanager
async def _reading(connection: Connection, what: str) -> AsyncIterator[None]:
    """One snapshot of the table, for as long as the block takes."""
    with _readable_errors(what):
        async with connection.transaction():
            await connection.execute("SET LOCAL statement_timeout = 0")
            await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            # Rows that a policy hides would be missed without a word: now it is an error.
            await connection.execute("SET LOCAL row_security = off")
            yield


@contextlib.contextmanager
def _readable_errors(what: str) -> Iterator[None]:
    try:
        yield
    except (psycopg.Error, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise errors.SourceUnusable(f"{what} cannot be read: {reason}") from error


_FIND = """
SELECT c.oid::bigint, n.nspname, c.relname FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = %(name)s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
AND (n.nspname = %(schema)s OR %(schema)s::text IS NULL AND n.nspname = ANY(current_schemas(false)))
ORDER BY array_position(current_schemas(false), n.nspname) LIMIT 1
"""
_COLUMNS = """
SELECT a.attname AS name, coalesce(b.typname, t.typname)::text AS kind,
       format_type(a.atttypid, a.atttypmod) AS shown,
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


async def find(connection: Connection, wish: TableColumns) -> SourceTable:
    """Raises SourceUnusable naming what is missing, and what there is."""
    schema, _, name = wish.table.rpartition(".")
    async with _reading(connection, wish.table):
        found = await _find(connection, schema or None, name)
        if found is None and schema:  # a dot may be a part of the table's own name
            found = await _find(connection, None, wish.table)
        if found is None:
            raise errors.SourceUnusable(await _no_table(connection, wish.table))
        oid, schema, name = found
        async with connection.cursor(row_factory=class_row(Column)) as cursor:
            await cursor.execute(_COLUMNS, [oid])
            columns = {column.name: column for column in await cursor.fetchall()}
    label = f"{schema}.{name}"
    return SourceTable(
        schema,
        name,
        id=_column(columns, wish.id_column, label),
        text=_text(_column(columns, wish.text_column, label), label),
        embedding=_embedding(_column(columns, wish.embedding_column, label), label),
        metadata=tuple(_column(columns, one, label) for one in wish.metadata_columns),
    )


async def _find(
    connection: Connection, schema: str | None, name: str
) -> tuple[int, str, str] | None:
    cursor = await connection.execute(_FIND, {"schema": schema, "name": name})
    row = await cursor.fetchone()
    return None if row is None else (int(str(row[0])), str(row[1]), str(row[2]))


async def _no_table(connection: Connection, asked: str) -> str:
    cursor = await connection.execute(_WITH_VECTORS, [list(_KINDS)])
    names = [str(row[0]) for row in await cursor.fetchall()]
    shown = ", ".join(names[:_SHOWN]) or "none"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (
        f"there is no table {asked} in this database (or its schema is not in the search path);"
        f" tables with vectors here: {shown}{more}"
    )


def _column(columns: dict[str, Column], name: str, label: str) -> Column:
    if name not in columns:
        there = ", ".join(f"{column.name} ({column.shown})" for column in columns.values())
        raise errors.SourceUnusable(f"{label} has no column {name}; it has: {there}")
    return columns[name]


def _text(column: Column, label: str) -> Column:
    if column.kind not in ("text", "varchar", "bpchar", "citext", "name"):
        raise errors.SourceUnusable(
            f"the column {column.name} of {label} is {column.shown}; the texts must be of a type "
            "such as text or varchar"
        )
    return column


def _embedding(column: Column, label: str) -> Column:
    if column.kind not in _KINDS:
        raise errors.SourceUnusable(
            f"the column {column.name} of {label} is {column.shown}; pgvector's vector and halfvec "
            "can be adopted (a view may cast another type)"
        )
    return column


async def count(connection: Connection, table: SourceTable) -> TableCounts:
    """Reads the whole table. Raises SourceUnusable."""
    query = sql.SQL("SELECT count(*), count({text}), count({embedding}) FROM {table}").format(
        text=sql.Identifier(table.text.name),
        embedding=sql.Identifier(table.embedding.name),
        table=table.identifier(),
    )
    async with _reading(connection, table.label), connection.cursor() as cursor:
        await cursor.execute(query)
        row = await cursor.fetchone() or (0, 0, 0)
    return TableCounts(*(int(str(number)) for number in row))


async def sample(
    connection: Connection, table: SourceTable, size: int, *, max_chars: int
) -> list[SourceRow]:
    """Up to `size` random rows with a text and a vector, each as likely as any other."""
    # Not TABLESAMPLE: SYSTEM takes whole pages, whose rows were written together and resemble
    # each other, and views have none.
    query = sql.SQL(
        "{select} WHERE {embedding} IS NOT NULL AND {text}::text ~ '\\S' ORDER BY random() LIMIT {}"
    ).format(
        sql.Literal(size),
        select=_select(table, max_chars),
        embedding=sql.Identifier(table.embedding.name),
        text=sql.Identifier(table.text.name),
    )
    async with _reading(connection, table.label), connection.cursor(binary=True) as cursor:
        await cursor.execute(query)
        return [_row(table, row) for row in await cursor.fetchall()]


async def pages(
    connection: Connection, table: SourceTable, *, max_chars: int
) -> AsyncGenerator[list[SourceRow], None]:
    """All rows as they are at one moment; of a longer text only `max_chars` and one more."""
    async with (
        _reading(connection, table.label),
        connection.cursor("vecmark_adopt", binary=True) as cursor,
    ):
        await cursor.execute(_select(table, max_chars))
        while rows := await cursor.fetchmany(PAGE):
            yield [_row(table, row) for row in rows]


def _select(table: SourceTable, max_chars: int) -> sql.Composed:
    return sql.SQL(
        "SELECT {id}::text, left({text}::text, {chars}), {metadata}::text, {embedding} FROM {table}"
    ).format(
        id=sql.Identifier(table.id.name),
        text=sql.Identifier(table.text.name),
        chars=sql.Literal(max_chars + 1),
        metadata=_metadata(table.metadata),
        embedding=sql.Identifier(table.embedding.name),
        table=table.identifier(),
    )


def _metadata(columns: tuple[Column, ...]) -> sql.Composable:
    """One object: that of a JSON column itself, any other value under its column's name."""
    parts: list[sql.Composable] = []
    for column in columns:
        value = sql.SQL("to_jsonb({})").format(sql.Identifier(column.name))
        keyed = sql.SQL("jsonb_build_object({}, {})").format(sql.Literal(column.name), value)
        if column.kind in _JSON:
            template = "CASE jsonb_typeof({0}) WHEN 'object' THEN {0} WHEN 'null' THEN '{{}}'"
            keyed = sql.SQL(template + " ELSE {1} END").format(value, keyed)
        parts.append(
            sql.SQL("CASE WHEN {} IS NULL THEN '{{}}'::jsonb ELSE {} END").format(
                sql.Identifier(column.name), keyed
            )
        )
    return sql.SQL("({})").format(sql.SQL(" || ").join(parts)) if parts else sql.Literal("{}")


def _row(table: SourceTable, values: tuple[object, ...]) -> SourceRow:
    id_, text, metadata, raw = values
    embedding = None
    if isinstance(raw, bytes):
        numbers = np.frombuffer(raw, dtype=_KINDS[table.embedding.kind], offset=_HEADER)
        embedding = numbers.astype(np.float32)
    return SourceRow(
        id=None if id_ is None else str(id_),
        text=None if text is None else str(text),
        metadata=str(metadata),
        embedding=embedding,
    )
