"""The service's parts in this process, with a small model and their own database."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from api import settings
from api.app import create_app
from api.service import Service
from indexing.documents import results
from storage import documents

Open = Callable[..., AbstractAsyncContextManager[Service]]


@pytest.fixture
def opened(database_url: str, data_dir: Path, static_model: Path, model_cache: Path) -> Open:
    """Opens the parts, any number of times; by default without automatic HNSW builds."""

    data_dir.mkdir()
    (data_dir / "cache").symlink_to(model_cache, target_is_directory=True)

    @asynccontextmanager
    async def work(**flags: object) -> AsyncIterator[Service]:
        values = {"hnsw_min_rows": 1_000_000, "model": str(static_model), **flags}
        own_settings = settings.load({}, database_url=database_url, data_dir=data_dir, **values)
        app = create_app(own_settings)
        async with app.lifespan():
            await app.state.service.collection("default")
            yield app.state.service

    return work


@pytest.fixture
async def service(opened: Open) -> AsyncIterator[Service]:
    async with opened() as service:
        yield service


async def write(
    service: Service, texts: dict[str, str], name: str = "default"
) -> list[results.WriteResult]:
    """Write documents into a collection, as one request."""
    collection = await service.collection(name)
    items = [
        documents.NewDocumentRow(
            doc_key=documents.key(collection.row.id, id_),
            id=id_,
            text=text,
            text_hash=documents.text_hash(text),
            metadata=b"{}",
        )
        for id_, text in texts.items()
    ]
    async with service.indexer.stream(collection.row, bulk=False) as stream:
        return await stream.all(items, 256)
