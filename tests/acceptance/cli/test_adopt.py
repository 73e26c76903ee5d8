"""`vecmark adopt`: another program's table becomes a collection that can be searched at once."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import psycopg
import pytest

from embedding import loading
from embedding.canaries import check
from embedding.model_files import description
from storage.embedded import postgres
from tests import models, services, waiting
from tests.integration.adoption.conftest import libpq, some_texts

COLUMNS = ("--id-column", "id", "--text-column", "content", "--embedding-column", "embedding")


def fill(
    sql: psycopg.Connection, table: str, texts: Sequence[str], vectors: Sequence[object]
) -> None:
    dimensions = len(np.asarray(vectors[0]))
    sql.execute(
        f"CREATE TABLE {table} (id bigint PRIMARY KEY, content text, embedding"
        f" vector({dimensions}), meta jsonb)"
    )
    with sql.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as copy:
        for no, (text, vector) in enumerate(zip(texts, vectors, strict=True)):
            stored = None if vector is None else json.dumps(np.asarray(vector).tolist())
            copy.write_row((no, text, stored, "{}"))


@pytest.fixture(scope="module")
def canary_rows(model_cache: Path) -> tuple[list[str], list[object]]:
    """Texts with their vectors from sentence-transformers' MiniLM in torch."""
    described = description.describe("bundled", models.minilm_directory())
    loaded = loading.load(described, cache_dir=model_cache, device="cpu")
    vectors = loaded.reference
    loaded.close()
    numbers = [no for no in check.ALL if np.linalg.norm(vectors[no]) > 0.5]
    texts = [check.TEXTS[no].text for no in numbers]
    good = [no for no, text in enumerate(texts) if text.strip()]
    return [texts[no] for no in good], [vectors[numbers[no]] for no in good]


def test_adopting_a_table_of_the_bundled_model_while_a_service_runs(
    shared, shared_url, sql, vecmark, *, client, canary_rows
):
    texts, vectors = canary_rows
    fill(sql, "legacy_notes", [*texts, "A violin has four strings."], [*vectors, None])
    options = ("--table", "legacy_notes", *COLUMNS, "--metadata-column", "meta")
    where = {"database_url": shared_url}
    tried = services.run(shared.data_dir, "adopt", "-c", "old", *options, "--dry-run", **where)
    assert tried.returncode == 0, tried.stderr
    assert "Nothing was created (--dry-run)." in tried.stdout
    assert client.get("/v1/collections/old").status_code == 404
    done = services.run(shared.data_dir, "adopt", "-c", "old", *options, **where)
    assert done.returncode == 0, done.stderr
    [line] = [line for line in done.stdout.splitlines() if line.endswith("\tmatches")]
    model, dimensions, median, _, worst, share, _ = line.split("\t")
    assert (model, dimensions) == ("sentence-transformers/all-MiniLM-L6-v2", "384")
    assert float(median) > 0.9999
    assert float(worst) > 0.999
    assert share == "100.0 %"
    assert "Every row with a text and a vector was compared." in done.stdout
    assert "1 to be embedded" in done.stdout
    # The running service sees the collection and embeds the rows that had no vector.
    waiting.until(lambda: client.get("/v1/collections/old").json()["pending"] == 0)
    collection = client.get("/v1/collections/old").json()
    assert collection["evidence"]["source"] == "public.legacy_notes"
    assert collection["evidence"]["sampled"] == len(texts)
    assert collection["documents"] == collection["chunks"] == len(texts) + 1
    query = {"q": "string instrument", "limit": 1}
    hit = client.get("/v1/collections/old/search", params=query).json()["results"][0]
    assert hit["chunk"]["text"] == "A violin has four strings."
    output = vecmark("collections", "show", "old").stdout
    evidence = r"^evidence: +adopted from public\.legacy_notes: \d+ of \d+ rows were"
    assert re.search(evidence, output, re.M)
    other = client.post("/v1/collections", json={"name": "no-evidence"}).json()
    assert "evidence" not in other


@pytest.fixture
def own_database(home: Path, model_cache: Path) -> Iterator[psycopg.Connection]:
    """The embedded PostgreSQL of `home`, kept running whichever process is killed."""
    services.prepare(home, model_cache)
    with (
        postgres.EmbeddedPostgres(home) as server,
        psycopg.connect(libpq(server.url), autocommit=True) as connection,
    ):
        yield connection


def count(sql: psycopg.Connection, what: str) -> int:
    row = sql.execute(f"SELECT count(*) FROM {what}").fetchone()
    return -1 if row is None else int(row[0])


@pytest.fixture
def many(embed_static: Callable[[Sequence[str]], object], own_database: psycopg.Connection) -> int:
    """A table with too many rows to be imported before the test can kill the import."""
    texts = some_texts(8_000, words=3)
    fill(own_database, "legacy", texts, list(np.asarray(embed_static(texts))))
    return len(texts)


@pytest.fixture
def embed_static(static_model: Path) -> Callable[[Sequence[str]], object]:
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(str(static_model / "tokenizer.json"))
    table = models.load_tensors(static_model)["embedding.weight"]

    def make(texts: Sequence[str]) -> object:
        ids = (tokenizer.encode(text, add_special_tokens=False).ids for text in texts)
        return np.stack([table[token_ids].mean(axis=0) for token_ids in ids])

    return make


def test_a_killed_adoption_can_be_repeated(home, own_database, many, static_model, serve_static):
    sql, options = own_database, ("-c", "old", "--table", "legacy", *COLUMNS)
    process = subprocess.Popen(
        [*services.COMMAND, "adopt", *options],
        env=services.environment(home, model=static_model),
        cwd=services.ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def half_done() -> bool:
        assert process.poll() is None
        there = count(sql, "pg_class WHERE relname = 'documents'")
        return there > 0 and count(sql, "documents") > 0

    waiting.until(half_done)
    process.kill()
    process.wait(30)
    assert 0 < count(sql, "documents") < many
    assert count(sql, "collections WHERE active_index_id IS NOT NULL") == 0
    listed = services.run(home, "collections", "list", model=static_model)
    assert "No collections yet" in listed.stderr
    again = services.run(home, "adopt", *options, "--json", model=static_model)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["imported"]["documents"] == many
    assert count(sql, "documents") == many
    assert count(sql, "collections") == count(sql, "indexes") == 1
    assert count(sql, "pg_class WHERE relname ~ '^vectors_[0-9]+$'") == 1
    service = serve_static(home)
    with service.client() as client:
        text = some_texts(many, words=3)[many // 2]
        answer = client.get("/v1/collections/old/search", params={"q": text, "limit": 1}).json()
    assert answer["results"][0]["id"] == str(many // 2)
    assert service.stop() == 0


@pytest.mark.usefixtures("many")
def test_a_refusal_is_one_message(home, own_database, static_model):
    own_database.execute(
        "CREATE TABLE mixed AS SELECT a.id, a.content, b.embedding FROM legacy a"
        " JOIN legacy b ON b.id = (a.id + 1) % 8000"
    )
    arguments = ("adopt", "-c", "old", "--table", "mixed", *COLUMNS, "--model", str(static_model))
    refused = services.run(home, *arguments, model=static_model)
    assert refused.returncode == 1
    assert "\tnot its vectors" in refused.stdout
    assert "Error: none of these models made the vectors of public.mixed" in refused.stderr
    assert "Traceback" not in refused.stderr
    as_json = services.run(home, *arguments, "--json", model=static_model)
    assert as_json.returncode == 1
    assert json.loads(as_json.stdout)["collection"] is None
    assert count(own_database, "collections") == count(own_database, "spaces") == 0
