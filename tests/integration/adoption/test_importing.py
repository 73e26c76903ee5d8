"""A table's rows become documents with their vectors, and every exception is reported."""

import asyncio
import contextlib
import secrets

import numpy as np
import psycopg
import pytest
import sqlalchemy
from sqlalchemy import text

from indexing import errors
from indexing.sweeper import Sweeper
from storage import engine, indexes
from storage.adoption import staging
from storage.errors import SourceUnusable
from tests.integration.adoption.conftest import some_texts

TEXTS = some_texts(300)
COLUMNS = "id text, content text, embedding vector(256)"


def rows(vectors, texts=TEXTS):
    return list(zip(range(len(texts)), texts, vectors, strict=True))


def fetch(connection, query, *values):
    return connection.execute(query, values).fetchone()


def table_of(stored, name="adopted"):
    (index,) = fetch(stored, "SELECT active_index_id FROM collections WHERE name = %s", name)
    return f"vectors_{index}"


async def test_the_collection_is_whole_and_the_source_untouched(source, adopt, embed, stored):
    source.table(rows(embed(TEXTS)))
    before = source.fingerprint()
    report = await adopt()
    assert source.fingerprint() == before
    imported = report.as_json()["imported"]
    assert imported["documents"] == imported["with_vector"] == 300
    assert imported["pending"] == imported["left_out"] == {}
    index = fetch(
        stored,
        "SELECT i.state, i.strategy, i.hnsw, s.model_id FROM indexes i JOIN spaces s"
        " ON s.id = i.space_id JOIN collections c ON c.active_index_id = i.id",
    )
    assert index == ("active", "none", "none", "original")
    counted = fetch(
        stored,
        f"SELECT count(*), min(v.char_end - length(d.text)), min(v.char_start), min(v.token_count)"
        f" FROM {table_of(stored)} v JOIN documents d USING (doc_key, text_hash)",
    )
    assert counted[:3] == (300, 0, 0)
    assert counted[3] > 5
    assert fetch(stored, "SELECT count(*) FROM pending") == (0,)


async def test_a_text_is_read_to_the_models_limit(source, adopt, embed, stored, roots):
    long = some_texts(20, words=100)
    source.table(rows(embed(long, limit=32), long))
    await adopt(flags={"model": str(roots / "original"), "max_tokens": 32})
    found = fetch(
        stored,
        f"SELECT max(v.token_count), max(v.char_end), min(length(d.text)) FROM {table_of(stored)} v"
        " JOIN documents d USING (doc_key)",
    )
    assert found[0] == 32
    assert found[1] < 300 < found[2]


async def test_nearest_neighbours_are_those_of_the_table(source, adopt, embed, stored):
    texts = some_texts(500)
    source.table(rows(embed(texts), texts))
    await adopt(claimed=("original",))
    for query in embed(some_texts(20, seed=5)):
        found = stored.execute(
            f"SELECT d.id::bigint, v.embedding <=> %s::halfvec AS far FROM {table_of(stored)} v"
            " JOIN documents d USING (doc_key) ORDER BY far, 1 LIMIT 10",
            [str(query.tolist())],
        ).fetchall()
        wanted = source.connection.execute(
            "SELECT id, embedding <=> %s::vector AS far FROM notes ORDER BY far, id LIMIT 10",
            [str(query.tolist())],
        ).fetchall()
        # Half precision may change the order of two that are equally far.
        assert [far for _, far in found] == pytest.approx([far for _, far in wanted], abs=2e-4)
        assert [id_ for id_, _ in found[:3]] == [id_ for id_, _ in wanted[:3]]


async def test_stale_rows_of_the_sample_are_left_to_be_embedded(source, adopt, embed, stored):
    vectors = embed(TEXTS)
    vectors[[7, 8]] = embed(some_texts(2, seed=3))
    source.table(rows(vectors))
    found = (await adopt(sample=300)).as_json()
    assert {row["id"] for row in found["stale"]} == {"7", "8"}
    assert found["imported"]["pending"] == {"stale": 2}
    pending = stored.execute(
        "SELECT d.id FROM pending p JOIN documents d USING (doc_key, text_hash) ORDER BY d.id"
    ).fetchall()
    assert pending == [("7",), ("8",)]
    assert fetch(stored, f"SELECT count(*) FROM {table_of(stored)}") == (298,)
    evidence = found["evidence"]
    assert evidence["sampled"] == 300
    # Every row was compared: none of the vectors that were taken is unknown.
    assert evidence["stale_upper_bound_95"] == 0
    kept = fetch(stored, "SELECT evidence FROM indexes")
    assert kept == (evidence,)


async def test_what_was_not_sampled_is_bounded(source, adopt, embed):
    source.table(rows(embed(TEXTS)))
    evidence = (await adopt(sample=100, claimed=("original",))).as_json()["evidence"]
    assert evidence["sampled"] == 100
    assert evidence["rows"] == 300
    assert evidence["claimed"] == ["original"]
    assert evidence["source"] == "public.notes"
    assert evidence["stale_upper_bound_95"] == pytest.approx(0.0295, abs=1e-4)
    assert evidence["share"] == 1


async def test_each_row_that_is_changed_or_left_out_is_reported(source, adopt, embed, stored):
    good = embed(TEXTS)
    zero = np.zeros(256, np.float32)
    taken = [
        (None, "a row without an id"),
        ("", "a row with an empty id"),
        ("x" * 513, "a row with a long id"),
        ("1", "a row whose id is there"),
        ("long", "word " * 50),
    ]
    made = embed([content for _, content in taken])
    odd = [
        *((id_, content, vector) for (id_, content), vector in zip(taken, made, strict=True)),
        ("none", None, good[0]),
        ("empty", "", good[0]),
        ("white", " \n\t ", good[0]),
        ("null", "without a vector", None),
        ("zero", "with a vector of nothing", zero),
    ]
    source.table([*((str(no), *rest) for no, *rest in rows(good)), *odd], columns=COLUMNS)
    report = await adopt(flags={"max_text_chars": 200}, sample=1000)
    imported = report.as_json()["imported"]
    assert imported["left_out"] == {
        "no id": 2, "id too long": 1, "id twice": 1, "no text": 3, "text too long": 1,
    }  # fmt: skip
    assert imported["pending"] == {"no vector": 1, "vector without direction": 1}
    assert imported["documents"] == 302
    assert imported["examples"]["no text"] == ["none", "empty", "white"]
    assert imported["examples"]["no vector"] == ["null"]
    pending = stored.execute("SELECT id FROM documents JOIN pending USING (doc_key) ORDER BY id")
    assert pending.fetchall() == [("null",), ("zero",)]
    assert fetch(stored, "SELECT text FROM documents WHERE id = '1'") == (TEXTS[1],)


async def test_an_id_that_came_in_an_earlier_batch_stays_as_it_was(source, adopt, embed, stored):
    many = some_texts(1500)
    vectors = embed(many)
    twice = [(0, many[1499], vectors[1499])]
    source.table([*rows(vectors, many), *twice])
    imported = (await adopt(claimed=("original",))).as_json()["imported"]
    assert imported["left_out"] == {"id twice": 1}
    assert imported["documents"] == imported["with_vector"] == 1500
    assert fetch(stored, "SELECT text FROM documents WHERE id = '0'") == (many[0],)
    assert fetch(stored, f"SELECT count(*) FROM {table_of(stored)}") == (1500,)


async def test_only_the_first_examples_are_listed(source, adopt, embed):
    extra = [(f"e{no}", "", None) for no in range(50)]
    source.table([*((str(no), *rest) for no, *rest in rows(embed(TEXTS))), *extra], columns=COLUMNS)
    imported = (await adopt(claimed=("original",))).as_json()["imported"]
    assert imported["left_out"] == {"no text": 50}
    assert len(imported["examples"]["no text"]) == 20
    assert {id_[0] for id_ in imported["examples"]["no text"]} == {"e"}


async def test_vectors_of_other_dimensions_are_left_to_be_embedded(source, adopt, embed):
    short = [(f"s{no}", f"short {no}", np.ones(3, np.float32)) for no in range(5)]
    columns = "id text, content text, embedding vector"
    source.table([*((str(no), *rest) for no, *rest in rows(embed(TEXTS))), *short], columns=columns)
    found = (await adopt(claimed=("original",), sample=1000)).as_json()
    assert found["imported"]["pending"] == {"other dimensions": 5}
    assert found["left_out_of_sample"] == 5


async def test_texts_that_were_cut_elsewhere_are_left_to_be_embedded(
    source, adopt, embed, roots, stored
):
    texts = [*some_texts(496), *some_texts(4, words=100)]
    source.table(rows(embed(texts), texts))
    flags = {"model": str(roots / "original"), "max_tokens": 32}
    # Three long ones in the sample are enough to know of all.
    found = (await adopt(flags=flags, claimed=(flags["model"],), sample=499)).as_json()
    assert found["cut_elsewhere"]
    assert found["stale"] == []
    assert found["imported"]["pending"] == {"cut elsewhere": 4}
    assert fetch(stored, f"SELECT max(token_count) < 32 FROM {table_of(stored)}") == (True,)


METADATA = "id text, content text, embedding vector(256), meta jsonb, lang text, year int"


@pytest.mark.parametrize(
    ("columns", "wanted"),
    [
        ((), [{}, {}, {}]),
        (("meta",), [{"a": {"b": 1}}, {"meta": [1]}, {}]),
        (("meta", "lang"), [{"a": {"b": 1}, "lang": "en"}, {"meta": [1], "lang": "de"}, {}]),
        (("year",), [{"year": 1999}, {}, {}]),
    ],
)
async def test_metadata_is_that_of_the_columns(source, adopt, embed, stored, *, columns, wanted):
    vectors = embed(TEXTS[:3])
    odd = [('{"a": {"b": 1}}', "en", 1999), ("[1]", "de", None), (None, None, None)]
    source.table([(no, TEXTS[no], vectors[no], *odd[no]) for no in range(3)], columns=METADATA)
    await adopt(metadata_columns=columns, claimed=("original",))
    found = stored.execute("SELECT metadata FROM documents ORDER BY id").fetchall()
    assert [row[0] for row in found] == wanted


async def test_metadata_that_no_answer_could_hold_is_left_out(source, adopt, embed):
    vectors = embed(TEXTS[:2])
    deep = '{"a":' * 500 + "1" + "}" * 500
    table = [(no, TEXTS[no], vectors[no], (deep, "{}")[no], "en", 1) for no in range(2)]
    source.table(table, columns=METADATA)
    imported = (await adopt(metadata_columns=("meta",), claimed=("original",))).as_json()[
        "imported"
    ]
    assert imported["left_out"] == {"metadata too deep": 1}
    assert imported["documents"] == 1


async def test_any_name_is_a_name(source, adopt, embed):
    """Even one that would end a statement, of a view, with the extension in another schema."""
    evil = 'x"; DROP TABLE kept; --'
    source.connection.execute("CREATE SCHEMA ext; ALTER EXTENSION vector SET SCHEMA ext")
    source.connection.execute("CREATE TABLE kept (n int)")
    columns = 'id bigint, "the text" text, "em.bedding" ext.vector(256)'
    source.table(rows(embed(TEXTS)), columns=columns)
    named = psycopg.sql.Identifier(evil)
    view = psycopg.sql.SQL("CREATE VIEW {} AS SELECT * FROM notes").format(named)
    source.connection.execute(view)
    found = await adopt(
        table=f"public.{evil}",
        text_column="the text",
        embedding_column="em.bedding",
        claimed=("original",),
    )
    assert found.as_json()["imported"]["documents"] == 300
    assert fetch(source.connection, "SELECT count(*) FROM kept") == (0,)


async def test_who_may_only_read_can_adopt(source, adopt, embed):
    source.table(rows(embed(TEXTS)))
    connection, role = source.connection, f"vecmark_test_{secrets.token_hex(6)}"
    connection.execute(f"CREATE ROLE {role}")
    try:
        connection.execute(f"GRANT SELECT ON notes TO {role}")
        named = sqlalchemy.make_url(source.url).update_query_dict({"options": f"-c role={role}"})
        url = named.render_as_string(hide_password=False)
        found = await adopt(source=url, claimed=("original",))
        assert found.as_json()["imported"]["documents"] == 300
        # Rows that a policy hides are not missed without a word.
        connection.execute("ALTER TABLE notes ENABLE ROW LEVEL SECURITY")
        with pytest.raises(SourceUnusable, match="row-level security"):
            await adopt(source=url, claimed=("original",), collection="again")
    finally:
        connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_a_name_that_is_taken_is_refused(source, adopt, embed):
    source.table(rows(embed(TEXTS)))
    await adopt(claimed=("original",))
    with pytest.raises(errors.AdoptionRefused, match="a collection adopted exists already"):
        await adopt(claimed=("original",))
    with pytest.raises(errors.AdoptionRefused, match="'Upper' is not a valid collection name"):
        await adopt(claimed=("original",), collection="Upper")


CHUNKING = indexes.IndexChunking("none", None, 0, chunker_version=1)


@contextlib.asynccontextmanager
async def staged_collection(url, space_id, *, long_ago=True):
    """A half-made collection as a process that is still alive holds it."""
    opened = engine.create_engine(url, pool_size=2)
    try:
        async with opened.begin() as conn:
            half = await staging.begin(
                conn, "adopted", space_id=space_id, dimensions=256, chunking=CHUNKING
            )
            if long_ago:
                hour_ago = "UPDATE collections SET created_at = now() - interval '1 hour'"
                await conn.execute(text(hour_ago))
        async with opened.connect() as holding:
            assert await staging.hold(holding, half)
            yield opened, half
    finally:
        await opened.dispose()


@pytest.fixture
async def space_id(source, adopt, embed, stored):
    source.table(rows(embed(TEXTS)))
    await adopt(claimed=("original",), collection="first")
    return fetch(stored, "SELECT id FROM spaces")[0]


async def test_two_adoptions_of_one_name_do_not_meet(adopt, database_url, space_id, stored):
    async with staged_collection(database_url, space_id) as (opened, _):
        with pytest.raises(errors.AdoptionRefused, match="another `vecmark adopt`"):
            await adopt(claimed=("original",))
        await Sweeper(opened).sweep()
        assert fetch(stored, "SELECT count(*) FROM collections") == (2,)
    # Its process has ended.
    found = await adopt(claimed=("original",))
    assert found.as_json()["imported"]["documents"] == 300
    assert_nothing_left(stored)


async def test_what_a_dead_process_left_is_swept(database_url, space_id, stored):
    async with staged_collection(database_url, space_id, long_ago=False):
        pass
    opened = engine.create_engine(database_url, pool_size=2)
    await Sweeper(opened).sweep()
    # It may have been begun just now, and not be held yet.
    assert fetch(stored, "SELECT count(*) FROM collections") == (2,)
    stored.execute("UPDATE collections SET created_at = now() - interval '1 hour'")
    await Sweeper(opened).sweep()
    await opened.dispose()
    assert fetch(stored, "SELECT count(*) FROM collections") == (1,)
    assert_nothing_left(stored)


def assert_nothing_left(stored):
    """No document, index or table without its collection."""
    lost = "SELECT count(*) FROM documents WHERE collection_id NOT IN (SELECT id FROM collections)"
    assert fetch(stored, lost) == (0,)
    indexes = stored.execute("SELECT 'vectors_' || id FROM indexes ORDER BY 1").fetchall()
    tables = "SELECT relname FROM pg_class WHERE relname ~ '^vectors_[0-9]+$' ORDER BY 1"
    assert stored.execute(tables).fetchall() == indexes
    states = "SELECT count(*) FROM indexes WHERE state <> 'active'"
    assert fetch(stored, states) == (0,)
    pending = "SELECT count(*) FROM pending WHERE index_id NOT IN (SELECT id FROM indexes)"
    assert fetch(stored, pending) == (0,)


async def test_a_collection_created_meanwhile_stays(source, adopt, embed, stored, database_url):
    """The import fails at its end and leaves nothing."""
    source.table([("0", TEXTS[0], embed(TEXTS[:1])[0])], columns=COLUMNS)
    await adopt(claimed=("original",), collection="first")
    stored.execute(
        "CREATE FUNCTION take() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO"
        " collections (name, active_index_id) SELECT 'adopted', active_index_id FROM collections"
        " WHERE name = 'first'; RETURN NULL; END $$;"
        " CREATE TRIGGER take AFTER INSERT ON documents EXECUTE FUNCTION take()"
    )
    with pytest.raises(errors.AdoptionRefused, match="a collection adopted was created meanwhile"):
        await adopt(claimed=("original",))
    assert fetch(stored, "SELECT count(*) FROM collections") == (2,)
    assert_nothing_left(stored)


async def test_an_interrupted_adoption_leaves_nothing(source, adopt, embed, stored):
    many = some_texts(12_000, words=3)
    source.table(rows(embed(many), many))
    adoption = asyncio.create_task(adopt(claimed=("original",)))
    while fetch(stored, "SELECT count(*) FROM documents") == (0,):
        assert not adoption.done()
        await asyncio.sleep(0.02)
    assert fetch(stored, "SELECT active_index_id FROM collections") == (None,)
    adoption.cancel()
    with pytest.raises(asyncio.CancelledError):
        await adoption
    assert fetch(stored, "SELECT count(*) FROM collections") == (0,)
    assert fetch(stored, "SELECT count(*) FROM documents") == (0,)
    assert_nothing_left(stored)
