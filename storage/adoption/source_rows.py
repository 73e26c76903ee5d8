"""The rows of another program's table: counted, sampled, and read in pages; never written.

A vector arrives as the bytes that PostgreSQL sends, so pgvector can be installed in any schema.
"""

import dataclasses
from collections.abc import AsyncGenerator

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from storage.adoption import source_connections
from storage.adoption.source_connections import Connection
from storage.adoption.source_tables import Column, SourceTable

# The numbers follow a header of four bytes: the dimensions, and two bytes that are unused.
_NUMBERS = {"vector": ">f4", "halfvec": ">f2"}
_HEADER = 4
_JSON = ("json", "jsonb")
# A page must fit into memory even if every text is as long as allowed.
PAGE = 100


@dataclasses.dataclass(frozen=True)
class TableCounts:
    """Rows of the table, and how many of them have a text and a vector."""

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


async def count(connection: Connection, table: SourceTable) -> TableCounts:
    """Count the rows, which reads the whole table. Raises SourceUnusable."""
    query = sql.SQL("SELECT count(*), count({text}), count({embedding}) FROM {table}").format(
        text=sql.Identifier(table.text.name),
        embedding=sql.Identifier(table.embedding.name),
        table=table.identifier(),
    )
    async with source_connections.snapshot(connection, table.label), connection.cursor() as cursor:
        await cursor.execute(query)
        row = await cursor.fetchone() or (0, 0, 0)
    return TableCounts(*(int(str(number)) for number in row))


async def sample(
    connection: Connection, table: SourceTable, size: int, *, max_chars: int
) -> list[SourceRow]:
    """Up to `size` random rows with a text and a vector, each as likely as any other."""
    # Not TABLESAMPLE: SYSTEM takes whole pages, whose rows were written together and resemble
    # each other, and views do not support it.
    query = sql.SQL(
        "{select} WHERE {embedding} IS NOT NULL AND {text}::text ~ '\\S' ORDER BY random() LIMIT {}"
    ).format(
        sql.Literal(size),
        select=_select(table, max_chars),
        embedding=sql.Identifier(table.embedding.name),
        text=sql.Identifier(table.text.name),
    )
    async with (
        source_connections.snapshot(connection, table.label),
        connection.cursor(binary=True) as cursor,
    ):
        await cursor.execute(query)
        return [_row(table, row) for row in await cursor.fetchall()]


async def read_pages(
    connection: Connection, table: SourceTable, *, max_chars: int
) -> AsyncGenerator[list[SourceRow], None]:
    """All rows as they are at one moment, with up to `max_chars` + 1 characters of each text."""
    async with (
        source_connections.snapshot(connection, table.label),
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
    """One object: a JSON column's own object, any other value under its column's name."""
    parts: list[sql.Composable] = []
    for column in columns:
        value = sql.SQL("to_jsonb({})").format(sql.Identifier(column.name))
        keyed = sql.SQL("jsonb_build_object({}, {})").format(sql.Literal(column.name), value)
        if column.base_type in _JSON:
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
        numbers = np.frombuffer(raw, dtype=_NUMBERS[table.embedding.base_type], offset=_HEADER)
        embedding = numbers.astype(np.float32)
    return SourceRow(
        id=None if id_ is None else str(id_),
        text=None if text is None else str(text),
        metadata=str(metadata),
        embedding=embedding,
    )
