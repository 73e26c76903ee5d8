"""Searches: by a text, with a filter, or by a document."""

from typing import Annotated

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from api.http import openapi, problems
from api.schemas import search as search_schemas
from api.service import Service
from api.services import documents as document_services
from api.services import search as search_services
from indexing.searcher import SearchQuery
from storage.names import DEFAULT_COLLECTION

PATHS = ["/v1/collections/{collection:str}/search", "/v1/search"]
SIMILAR = [
    "/v1/collections/{collection:str}/documents/{document_id:str}/similar",
    "/v1/documents/{document_id:str}/similar",
]

Limit = Annotated[int, QueryParameter(ge=1, le=1000)]


@get(
    PATHS,
    operation_id=openapi.operation("search"),
    summary="Find the documents nearest to a text",
    responses=problems.documented(404, 409, 422, 429, 503),
)
async def search(
    *,
    service: NamedDependency[Service],
    q: FromQuery[str],
    collection: FromPath[str] = DEFAULT_COLLECTION,
    limit: Limit = 10,
    exact: FromQuery[bool] = False,
    expect_space: FromQuery[str | None] = None,
) -> search_schemas.SearchResponse:
    """Each document once, by its best chunk. `exact` compares with every vector."""
    query = SearchQuery(limit=limit, exact=exact, expect_space=expect_space)
    return await search_services.by_text(service, collection, q, query)


@post(
    PATHS,
    operation_id=openapi.operation("search_filtered"),
    summary="Find documents, with filters and options",
    status_code=200,
    responses=problems.documented(404, 409, 413, 415, 422, 429, 503),
)
async def search_filtered(
    service: NamedDependency[Service],
    data: JSONBody[search_schemas.SearchRequest],
    collection: FromPath[str] = DEFAULT_COLLECTION,
) -> search_schemas.SearchResponse:
    """Like GET, with a `filter` over the metadata: `{"year": {"$gte": 2020}}`."""
    query = SearchQuery(
        limit=data.limit, exact=data.exact, condition=data.filter, expect_space=data.expect_space
    )
    return await search_services.by_text(service, collection, data.q, query)


@get(
    SIMILAR,
    operation_id=openapi.operation("similar_documents"),
    summary="Find documents similar to a document",
    responses=problems.documented(404, 409, 422, 503),
)
async def similar(
    *,
    service: NamedDependency[Service],
    document_id: FromPath[str],
    collection: FromPath[str] = DEFAULT_COLLECTION,
    limit: Limit = 10,
    exact: FromQuery[bool] = False,
    expect_space: FromQuery[str | None] = None,
) -> search_schemas.SearchResponse:
    """The documents nearest to the mean of its chunks' vectors, without itself."""
    query = SearchQuery(limit=limit, exact=exact, expect_space=expect_space)
    id_ = document_services.decode_id(document_id)
    return await search_services.similar(service, collection, id_, query)


ROUTES = [search, search_filtered, similar]
