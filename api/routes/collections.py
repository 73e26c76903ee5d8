from typing import Annotated

from litestar import Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter

from api import bodies, problems, schemas, shapes
from api.routes import described
from api.routes.documents import AnyRequest
from api.service import Service
from embedding.chunking import Chunking
from indexing.catalog import Collection
from storage import collections, hnsw, vectors


@post(
    "/v1/collections",
    operation_id="create_collection",
    operation_class=described.body(schemas.NewCollection),
    summary="Make a collection",
    responses=problems.documented(409, 413, 415, 422, 429, 503),
)
async def create(
    service: NamedDependency[Service], request: AnyRequest
) -> Response[schemas.Collection]:
    """201 for a new one, 200 where it exists with the same properties, else 409."""
    sent = await bodies.read(request, schemas.NewCollection, service.settings.max_body_bytes)
    wish = sent.chunking
    found, created = await service.create(
        sent.name,
        sent.model,
        Chunking(strategy=wish.strategy, size=wish.size, overlap=wish.overlap),
    )
    return Response(await _shown(service, found), status_code=201 if created else 200)


@get(
    "/v1/collections",
    operation_id="list_collections",
    summary="List collections",
    responses=problems.documented(422, 503),
)
async def page(
    service: NamedDependency[Service],
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
) -> schemas.CollectionList:
    found = await service.catalog.page(shapes.from_cursor(cursor), limit)
    more = found[-1].row.name if len(found) == limit else None
    return schemas.CollectionList(
        items=[await _shown(service, one) for one in found],
        next_cursor=None if more is None else shapes.cursor(more),
    )


@get(
    "/v1/collections/{collection:str}",
    operation_id="get_collection",
    summary="Show a collection, and which way a search takes",
    responses=problems.documented(404, 503),
)
async def get_one(
    service: NamedDependency[Service], collection: FromPath[str]
) -> schemas.Collection:
    service.catalog.forget(collection)
    return await _shown(service, await service.catalog.find(collection))


@delete(
    "/v1/collections/{collection:str}",
    operation_id="delete_collection",
    summary="Delete a collection with its documents",
    responses=problems.documented(404, 503),
)
async def remove(service: NamedDependency[Service], collection: FromPath[str]) -> None:
    await service.catalog.delete(collection)
    service.sweeper.wake()


async def _shown(service: Service, found: Collection) -> schemas.Collection:
    async with service.engine.connect() as conn:
        counts = await collections.count(conn, found.row)
        progress = await hnsw.progress(conn, found.active.id)
    path = _path(found, counts.chunks, service.settings.hnsw_min_rows, progress)
    return shapes.collection(found, counts, path)


def _path(
    found: Collection, chunks: int, min_rows: int, progress: hnsw.Progress | None
) -> schemas.SearchPath:
    active = found.active
    if active.hnsw == "ready":
        reason = "the HNSW index is built; `exact=true` compares with every vector"
        return schemas.SearchPath(
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
        reason = "the HNSW index is built as soon as no bulk load runs"
    return schemas.SearchPath(path="exact", reason=reason)


ROUTES = [create, page, get_one, remove]
