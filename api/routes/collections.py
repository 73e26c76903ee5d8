from typing import Annotated

from litestar import Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter

from api.http import bodies, openapi, pagination, problems
from api.routes.documents import AnyRequest
from api.schemas import collections as collection_schemas
from api.service import Service
from api.services import collections as collection_services
from embedding.text.chunking import Chunking


@post(
    "/v1/collections",
    operation_id="create_collection",
    operation_class=openapi.body(collection_schemas.NewCollection),
    summary="Make a collection",
    responses=problems.documented(409, 413, 415, 422, 429, 503),
)
async def create(
    service: NamedDependency[Service], request: AnyRequest
) -> Response[collection_schemas.Collection]:
    """201 for a new one, 200 where it exists with the same properties, else 409."""
    sent = await bodies.read(
        request, collection_schemas.NewCollection, service.settings.max_body_bytes
    )
    wish = sent.chunking
    found, created = await service.create(
        sent.name,
        sent.model,
        Chunking(strategy=wish.strategy, size=wish.size, overlap=wish.overlap),
    )
    return Response(
        await collection_services.describe(service, found), status_code=201 if created else 200
    )


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
) -> collection_schemas.CollectionList:
    found = await service.catalog.page(pagination.from_cursor(cursor), limit)
    more = found[-1].row.name if len(found) == limit else None
    return collection_schemas.CollectionList(
        items=[await collection_services.describe(service, one) for one in found],
        next_cursor=None if more is None else pagination.cursor(more),
    )


@get(
    "/v1/collections/{collection:str}",
    operation_id="get_collection",
    summary="Show a collection, and which way a search takes",
    responses=problems.documented(404, 503),
)
async def get_one(
    service: NamedDependency[Service], collection: FromPath[str]
) -> collection_schemas.Collection:
    service.catalog.forget(collection)
    return await collection_services.describe(service, await service.catalog.find(collection))


@delete(
    "/v1/collections/{collection:str}",
    operation_id="delete_collection",
    summary="Delete a collection with its documents",
    responses=problems.documented(404, 503),
)
async def remove(service: NamedDependency[Service], collection: FromPath[str]) -> None:
    await service.catalog.delete(collection)
    service.sweeper.wake()


ROUTES = [create, page, get_one, remove]
