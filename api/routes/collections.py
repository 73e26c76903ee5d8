"""Collections: created, listed, shown and deleted."""

from typing import Annotated

from litestar import Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from api.http import problems
from api.schemas import collections as collection_schemas
from api.service import Service
from api.services import collections as collection_services


@post(
    "/v1/collections",
    operation_id="create_collection",
    summary="Create a collection",
    responses=problems.documented(409, 413, 415, 422, 429, 503),
)
async def create(
    service: NamedDependency[Service], data: JSONBody[collection_schemas.NewCollection]
) -> Response[collection_schemas.Collection]:
    """201 for a new one, 200 if it exists with the same properties, else 409."""
    collection, is_new = await collection_services.create(service, data)
    return Response(collection, status_code=201 if is_new else 200)


@get(
    "/v1/collections",
    operation_id="list_collections",
    summary="List collections",
    responses=problems.documented(422, 503),
)
async def list_all(
    service: NamedDependency[Service],
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
) -> collection_schemas.CollectionList:
    return await collection_services.list_page(service, cursor, limit)


@get(
    "/v1/collections/{collection:str}",
    operation_id="get_collection",
    summary="Show a collection and its search path",
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


ROUTES = [create, list_all, get_one, remove]
