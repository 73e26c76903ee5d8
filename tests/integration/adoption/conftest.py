"""Tables filled by another program, in a separate database, and models it may have used."""

import dataclasses
import json
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
import safetensors.numpy
import sqlalchemy
import tokenizers
from numpy.typing import NDArray
from psycopg import sql

from api import settings
from api.cli.adopt import run as adopt_run
from api.cli.adopt.report import AdoptReport, Request
from tests import databases, models, texts

PASSAGE = "passage: "
Vectors = NDArray[np.float32]


def libpq(url: str) -> str:
    """Convert SQLAlchemy's URL to one for libpq."""
    named = sqlalchemy.make_url(url).set(drivername="postgresql")
    return named.render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models with 256 dimensions: one, the same with a prompt, and one with other weights."""
    folder = tmp_path_factory.mktemp("roots")
    original = models.wordllama_directory(folder / "original")
    prompts = {"prompts": {"query": "", "document": PASSAGE}}
    configs = {"config_sentence_transformers.json": prompts}
    models.variant(folder / "prompted", source=original, configs=configs)
    models.variant(folder / "strange", source=original, tensors=_turned)
    return folder


def _turned(tensors: models.Tensors) -> models.Tensors:
    """Give each token the vector of another token."""
    return {name: np.roll(tensor, 1000, axis=0) for name, tensor in tensors.items()}


Embed = Callable[..., Vectors]


@pytest.fixture(scope="session")
def embed(roots: Path) -> Embed:
    """Vectors that another program computes with `original`, not of unit length."""
    tokenizer = tokenizers.Tokenizer.from_file(str(roots / "original" / "tokenizer.json"))
    tokenizer.no_truncation()
    file = roots / "original" / "model.safetensors"
    table = safetensors.numpy.load_file(file)["embedding.weight"]

    def make(some: Sequence[str], *, prompt: str = "", limit: int | None = None) -> Vectors:
        tokens = [tokenizer.encode(prompt + text, add_special_tokens=False).ids for text in some]
        return np.stack([table[ids[:limit]].mean(axis=0) for ids in tokens])

    return make


def some_texts(count: int, *, words: int = 8, seed: int = 1) -> list[str]:
    rng = random.Random(seed)
    return [f"{texts.words(rng, words)} {no}" for no in range(count)]


@dataclasses.dataclass
class Source:
    """A database that Vecmark doesn't own."""

    url: str
    connection: psycopg.Connection

    def table(
        self,
        rows: Sequence[Sequence[object]],
        *,
        name: str = "notes",
        columns: str = "id bigint, content text, embedding vector(256)",
    ) -> None:
        """A new table with these rows; a vector is an array or None."""
        connection, table = self.connection, sql.Identifier(name)
        connection.execute(sql.SQL(f"CREATE TABLE {{}} ({columns})").format(table))
        values = ", ".join(["%s"] * len(rows[0]))
        with connection.cursor() as cursor:
            cursor.executemany(
                sql.SQL(f"INSERT INTO {{}} VALUES ({values})").format(table),
                [[_value(value) for value in row] for row in rows],
            )

    def fingerprint(self, name: str = "notes") -> object:
        """A value that changes with every write to the table."""
        query = "SELECT md5(string_agg(r::text || r.ctid || r.xmin, ',' ORDER BY r.ctid)) FROM {} r"
        return self.connection.execute(sql.SQL(query).format(sql.Identifier(name))).fetchone()


def _value(value: object) -> object:
    return json.dumps(value.tolist()) if isinstance(value, np.ndarray) else value


@pytest.fixture
def source(database_server: str) -> Iterator[Source]:
    with (
        databases.fresh(database_server) as url,
        psycopg.connect(libpq(url), autocommit=True) as connection,
    ):
        connection.execute("CREATE EXTENSION vector")
        yield Source(libpq(url), connection)


Adopt = Callable[..., Awaitable[AdoptReport]]


@pytest.fixture
def adopt(
    database_url: str, data_dir: Path, model_cache: Path, roots: Path, source: Source
) -> Adopt:
    """Runs an adoption of `notes` into `adopted`; arguments override any of that."""
    data_dir.mkdir()
    (data_dir / "cache").symlink_to(model_cache, target_is_directory=True)

    async def run(*, flags: dict[str, Any] | None = None, **changes: Any) -> AdoptReport:
        options = {"database_url": database_url, "data_dir": data_dir, "model_roots": [roots]}
        loaded = settings.load({}, **(options | (flags or {})))
        default = {
            "collection": "adopted",
            "table": "notes",
            "id_column": "id",
            "text_column": "content",
            "embedding_column": "embedding",
            "source": source.url,
        }
        request = Request(**(default | changes))
        report = AdoptReport(request, quiet=True)
        await adopt_run.adopt(loaded, request, report)
        return report

    return run


@pytest.fixture
def stored(database_url: str) -> Iterator[psycopg.Connection]:
    """Vecmark's own database."""
    with psycopg.connect(libpq(database_url), autocommit=True) as connection:
        yield connection
