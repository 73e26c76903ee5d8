"""Collections for the routes: created, listed and described."""

from collections.abc import Mapping

import msgspec

from api.http import pagination
from api.schemas import collections as collection_schemas
from api.schemas import common as common_schemas
from api.service import Service
from embedding.text.chunking import Chunking
from indexing.catalog import Collection
from storage import collections, hnsw, vectors


async def create(
    service: Service, request: collection_schemas.NewCollection
) -> tuple[collection_schemas.Collection, bool]:
    """The collection, and whether it is new. Raises as `Service.create` does."""
    options = request.chunking
    chunking = Chunking(strategy=options.strategy, size=options.size, overlap=options.overlap)
    collection, is_new = await service.create(request.name, request.model, chunking)
    return await describe(service, collection), is_new


async def list_page(
    service: Service, cursor: str | None, limit: int
) -> collection_schemas.CollectionList:
    """Raises BodyInvalid for an invalid cursor."""
    collections_ = await service.catalog.page(pagination.decode_cursor(cursor), limit)
    last = collections_[-1].row.name if len(collections_) == limit else None
    return collection_schemas.CollectionList(
        items=[await describe(service, collection) for collection in collections_],
        next_cursor=None if last is None else pagination.encode_cursor(last),
    )


async def describe(service: Service, collection: Collection) -> collection_schemas.Collection:
    """A collection with its counts, and how it is searched at present."""
    async with service.engine.connect() as conn:
        counts = await collections.count(conn, collection.row)
        progress = await hnsw.progress(conn, collection.active.id)
    active = collection.active
    return collection_schemas.Collection(
        name=collection.row.name,
        model=active.model_id,
        space=space(collection),
        index=active.id,
        chunking=common_schemas.Chunking(
            strategy=active.strategy, size=active.size, overlap=active.overlap
        ),
        documents=counts.documents,
        chunks=counts.chunks,
        pending=counts.pending,
        created_at=collection.row.created_at,
        search=_path(collection, counts.chunks, service.settings.hnsw_min_rows, progress),
        evidence=_evidence(active.evidence),
    )


def space(collection: Collection) -> common_schemas.SpaceName:
    """The space in which a collection is searched."""
    return common_schemas.SpaceName(
        id=collection.active.fingerprint, model=collection.active.model_id
    )


def _evidence(
    stored: Mapping[str, object] | None,
) -> collection_schemas.Evidence | msgspec.UnsetType:
    if stored is None:
        return msgspec.UNSET
    return msgspec.convert(stored, collection_schemas.Evidence)


def _path(
    collection: Collection, chunks: int, min_rows: int, progress: hnsw.BuildProgress | None
) -> collection_schemas.SearchPath:
    active = collection.active
    if active.hnsw == "ready":
        reason = "the HNSW index is built; `exact=true` compares with every vector"
        return collection_schemas.SearchPath(
            path="hnsw", reason=reason, ef_search=active.ef_search, recall=active.recall
        )
    if active.hnsw_error:
        reason = f"the HNSW index could not be built: {active.hnsw_error}"
    elif active.dimensions > vectors.MAX_HNSW_DIMENSIONS:
        reason = (
            f"{active.dimensions} dimensions are more than an HNSW index takes "
            f"({vectors.MAX_HNSW_DIMENSIONS})"
        )
    elif progress is not None:
        reason = f"the HNSW index is being built: {progress.phase}, {progress.share:.0%}"
    elif active.hnsw == "building":
        reason = "the HNSW index is being built: measuring its recall"
    elif chunks < min_rows:
        reason = f"with {chunks:,} vectors (under {min_rows:,}) an exact scan is fast enough"
    else:
        reason = "the HNSW index will be built once no bulk load is running"
    return collection_schemas.SearchPath(path="exact", reason=reason)
