from typing import Annotated

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter

from api.http import bodies, openapi, problems
from api.routes.documents import AnyRequest, decoded
from api.schemas import search as search_schemas
from api.service import Service
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
    wish = SearchQuery(limit=limit, exact=exact, expect_space=expect_space)
    return await _search(service, collection, q, wish)


@post(
    PATHS,
    operation_id=openapi.operation("search_filtered"),
    operation_class=openapi.body(search_schemas.SearchRequest),
    summary="Find documents, with filters and options",
    status_code=200,
    responses=problems.documented(404, 409, 413, 415, 422, 429, 503),
)
async def search_filtered(
    service: NamedDependency[Service],
    request: AnyRequest,
    collection: FromPath[str] = DEFAULT_COLLECTION,
) -> search_schemas.SearchResponse:
    """As GET, with a `filter` over the metadata: `{"year": {"$gte": 2020}}`."""
    sent = await bodies.read(request, search_schemas.SearchRequest, service.settings.max_body_bytes)
    if sent.filter is not None:
        bodies.check_metadata(sent.filter, "filter")
    wish = SearchQuery(
        limit=sent.limit, exact=sent.exact, condition=sent.filter, expect_space=sent.expect_space
    )
    return await _search(service, collection, sent.q, wish)


async def _search(
    service: Service, collection: str, text: str, wish: SearchQuery
) -> search_schemas.SearchResponse:
    if not text.strip():
        raise problems.Invalid("q", "is empty or only white space")
    bodies.check_text(text, "q")
    await service.collection(collection)
    return search_services.response(await service.searcher.by_text(collection, text, wish))


@get(
    SIMILAR,
    operation_id=openapi.operation("similar_documents"),
    summary="Find documents similar to one",
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
    """Those nearest to the mean of its chunks' vectors, without itself."""
    wish = SearchQuery(limit=limit, exact=exact, expect_space=expect_space)
    found = await service.searcher.similar(collection, decoded(document_id), wish)
    return search_services.response(found)


ROUTES = [search, search_filtered, similar]
