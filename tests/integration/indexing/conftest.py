"""Small static models that differ slightly, and loading them as a process does at startup."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from embedding import loading
from embedding.model_files.description import ModelOptions
from indexing.models.pool import ModelPool
from storage import engine
from tests import models as files


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return files.wordllama_directory(tmp_path_factory.mktemp("models") / "original")


@pytest.fixture(scope="session")
def resaved(original: Path) -> Path:
    return files.variant(original.parent / "resaved", source=original, tensors=files.shaken)


@pytest.fixture(scope="session")
def other(original: Path) -> Path:
    """The same weights with another document prompt: same dimensions, another space."""
    prompts = {"query": "", "document": "the text is about: "}
    return files.variant(
        original.parent / "other",
        source=original,
        configs={"config_sentence_transformers.json": {"prompts": prompts}},
    )


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[AsyncEngine]:
    opened = engine.create_engine(database_url, pool_size=5)
    yield opened
    await opened.dispose()


@contextlib.asynccontextmanager
async def running(
    database: AsyncEngine,
    directory: Path | str,
    cache: Path,
    *roots: Path,
    limit: int | None = None,
) -> AsyncIterator[ModelPool]:
    """Load models as at startup: the default one, then that of every space in use."""
    settings = loading.ModelSettings(
        default=str(directory),
        options=ModelOptions(),
        roots=roots,
        models_dir=cache / "models",
        cache_dir=cache,
        device="cpu",
    )
    opened = ModelPool(database, settings, limit)

    await opened.load_default(asyncio.wrap_future(loading.begin_loading(settings)))
    await opened.load_needed()
    try:
        yield opened
    finally:
        await opened.close()
