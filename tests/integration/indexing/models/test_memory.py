"""Several models at once: loaded on demand within a budget, unloaded when memory is short."""

import asyncio
import shutil
import time
from pathlib import Path

import pytest
import structlog.testing
from sqlalchemy.ext.asyncio import AsyncEngine

from embedding.errors import EmbeddingError, ModelInvalid, ModelNotFound
from embedding.model_files import description
from embedding.text.chunking import Chunking
from indexing import errors
from indexing.catalog import Catalog
from indexing.models import memory
from indexing.models.pool import ModelPool
from indexing.sweeper import Sweeper
from tests import models as files
from tests.integration.indexing.conftest import running


@pytest.fixture
def root(tmp_path: Path, resaved: Path, other: Path) -> Path:
    """Where requests may name `resaved` and `other`."""
    folder = tmp_path / "models"
    for model in (resaved, other):
        files.variant(folder / model.name, source=model)
    return folder


def size(directory: Path) -> int:
    return memory.estimate(description.describe("model", directory))


async def fingerprint(opened: ModelPool, name: str | None) -> str:
    """What answers a request for `name`, after it has encoded something."""
    async with opened.using(name) as loaded:
        encoded = await loaded.model.encode_query("a small animal")
        loaded.space_of(encoded)
        return encoded.fingerprint


async def answers(opened: ModelPool, name: str) -> bool:
    try:
        await fingerprint(opened, name)
    except ModelNotFound:
        return False
    return True


def names(opened: ModelPool) -> set[str]:
    return {loaded.name for loaded in opened.loaded}


async def collection(database: AsyncEngine, opened: ModelPool, name: str, model: str) -> None:
    async with opened.using(model) as loaded:
        chunking = Chunking().resolve(loaded.model.tokenizer, loaded.model.space.document_prompt)
        await Catalog(database).create(name, loaded, chunking)
        opened.keep(loaded)


async def test_the_least_recently_used_model_is_unloaded(
    database: AsyncEngine, original: Path, root: Path, model_cache: Path
) -> None:
    limit = 3 * size(original) + size(files.minilm_directory()) - 1
    async with running(database, original, model_cache, root, limit=limit) as opened:
        first = await fingerprint(opened, "resaved")
        second = await fingerprint(opened, "other")
        assert await fingerprint(opened, "resaved") == first
        await fingerprint(opened, "bundled")
        assert "other" not in names(opened)
        assert {str(original), "resaved", "sentence-transformers/all-MiniLM-L6-v2"} == names(opened)
        assert opened.memory_bytes <= limit
        assert all(
            loaded.memory_bytes > 0 and loaded.last_used <= time.time() for loaded in opened.loaded
        )
        # It comes back by its fingerprint, and another one is unloaded for it.
        assert await fingerprint(opened, second) == second
        assert "resaved" not in names(opened)


async def test_models_of_indexes_and_the_default_are_never_unloaded(
    database: AsyncEngine, original: Path, root: Path, model_cache: Path
) -> None:
    limit = 3 * size(original) - 1
    async with running(database, original, model_cache, root, limit=limit) as opened:
        default = await fingerprint(opened, None)
        await collection(database, opened, "texts", "resaved")
        with pytest.raises(errors.NoMemory) as refused:
            await fingerprint(opened, "other")
        for part in ("other", "resaved", "collections need it", "the default", "MODEL_MEMORY"):
            assert part in str(refused.value)
        assert names(opened) == {str(original), "resaved"}
        assert await fingerprint(opened, None) == default
        await Catalog(database).delete("texts")
        await Sweeper(database).sweep()
        await fingerprint(opened, "other")
        assert names(opened) == {str(original), "other"}


async def test_a_model_in_use_is_waited_for(
    database: AsyncEngine, original: Path, root: Path, model_cache: Path
) -> None:
    order: list[str] = []
    limit = 3 * size(original) - 1
    async with running(database, original, model_cache, root, limit=limit) as opened:

        async def load() -> None:
            await fingerprint(opened, "other")
            order.append("loaded")

        with structlog.testing.capture_logs() as logged:
            async with opened.using("resaved") as resaved:
                loading = asyncio.create_task(load())
                while "load_waits" not in [entry["event"] for entry in logged]:
                    assert not loading.done()
                    await fingerprint(opened, "resaved")
                await resaved.model.encode_query("a small animal")
                order.append("released")
        await loading
        assert order == ["released", "loaded"]
        assert "resaved" not in names(opened)


async def test_loaded_models_serve_while_another_loads(
    database: AsyncEngine, original: Path, root: Path, model_cache: Path
) -> None:
    order: list[str] = []
    async with running(database, original, model_cache, root) as opened:
        await fingerprint(opened, "resaved")

        async def ask(label: str, name: str | None) -> str:
            answering = await fingerprint(opened, name)
            order.append(label)
            return answering

        loads = [asyncio.create_task(ask("load", "bundled")) for _ in range(2)]
        await asyncio.sleep(0)  # they have begun
        for _ in range(20):
            await ask("default", None)
            await ask("named", "resaved")
        first, second = await asyncio.gather(*loads)
        assert order == ["default", "named"] * 20 + ["load"] * 2
        assert first == second
        assert len(names(opened)) == 3


async def test_a_request_that_leaves_does_not_end_the_load(
    database: AsyncEngine, original: Path, root: Path, model_cache: Path
) -> None:
    async with running(database, original, model_cache, root) as opened:
        leaving = asyncio.create_task(fingerprint(opened, "resaved"))
        staying = asyncio.create_task(fingerprint(opened, "resaved"))
        await asyncio.sleep(0)
        leaving.cancel()
        assert (await staying).startswith("fp1:")
        with pytest.raises(asyncio.CancelledError):
            await leaving


def truncate(weights: Path) -> None:
    content = weights.read_bytes()
    weights.unlink()
    weights.write_bytes(content[: len(content) // 2])


def point(weights: Path) -> None:
    weights.unlink()
    weights.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")


@pytest.mark.parametrize("harm", [(truncate, "cut off"), (point, "LFS")])
async def test_a_broken_directory_is_refused_until_it_is_repaired(
    database: AsyncEngine, original: Path, root: Path, model_cache: Path, harm
) -> None:
    weights = root / "resaved" / "model.safetensors"
    sound = root / "sound"
    shutil.copyfile(weights, sound)
    damage, reason = harm
    damage(weights)
    async with running(database, original, model_cache, root) as opened:
        default = await fingerprint(opened, None)
        for _ in range(2):
            with pytest.raises(ModelInvalid, match=f"{weights}.*{reason}"):
                await fingerprint(opened, "resaved")
        assert await fingerprint(opened, None) == default
        assert names(opened) == {str(original)}
        weights.unlink()
        shutil.copyfile(sound, weights)
        assert await fingerprint(opened, "resaved") != default


async def test_files_replaced_behind_a_name_are_noticed(
    database: AsyncEngine, original: Path, root: Path, other: Path, model_cache: Path
) -> None:
    async with running(database, original, model_cache, root) as opened:
        before = await fingerprint(opened, "resaved")
        expected = await fingerprint(opened, "other")
        shutil.rmtree(root / "resaved")
        files.variant(root / "resaved", source=other)
        deadline = time.monotonic() + 20
        while await fingerprint(opened, "resaved") != expected:
            assert time.monotonic() < deadline
        # What was loaded is still what it was.
        assert await fingerprint(opened, before) == before
        shutil.rmtree(root / "resaved")
        while await answers(opened, "resaved"):
            assert time.monotonic() < deadline


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "nothing",
        "\0",
        "x" * 5000,
        "é" * 200,
        "fp1:",
        f"fp1:{'0' * 64}",
        "fp1:\0",
        "/etc",
        "./x",
        "../x",
        "~root",
        "resaved/../other",
        "resaved/",
        "a//b",
        "org/name@main",
    ],
)
async def test_what_names_no_model_is_refused(
    database: AsyncEngine, original: Path, root: Path, model_cache: Path, name: str
) -> None:
    async with running(database, original, model_cache, root) as opened:
        with pytest.raises((errors.ModelUnknown, ModelNotFound)):
            await fingerprint(opened, name)


async def test_the_default_answers_to_its_names(
    database: AsyncEngine, original: Path, model_cache: Path
) -> None:
    async with running(database, original, model_cache) as opened:
        default = await fingerprint(opened, None)
        assert await fingerprint(opened, str(original)) == default
        assert await fingerprint(opened, default) == default


async def test_a_collection_of_another_process_gets_its_model(
    database: AsyncEngine, original: Path, root: Path, model_cache: Path
) -> None:
    async with (
        running(database, original, model_cache, root) as first,
        running(database, original, model_cache, root, limit=1) as another,
    ):
        assert another.warnings  # the default takes more than the limit
        await collection(database, first, "texts", "resaved")
        with pytest.raises((EmbeddingError, errors.NoMemory)):
            await fingerprint(another, "other")
        task = asyncio.create_task(another.run())
        deadline = time.monotonic() + 20
        while "resaved" not in names(another):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        task.cancel()
        assert not first.warnings
