from typing import Annotated

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter

from api import bodies, problems, schemas, shapes
from api.routes import described
from api.routes.documents import AnyRequest, decoded
from api.service import DEFAULT_COLLECTION, Service
from indexing.searcher import Wish

PATHS = ["/v1/collections/{collection:str}/search", "/v1/search"]
SIMILAR = [
    "/v1/collections/{collection:str}/documents/{document_id:str}/similar",
    "/v1/documents/{document_id:str}/similar",
]

Limit = Annotated[int, QueryParameter(ge=1, le=1000)]


@get(
    PATHS,
    operation_id=described.operation("search"),
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
) -> schemas.SearchResponse:
    """Each document once, by its best chunk. `exact` compares with every vector."""
    wish = Wish(limit=limit, exact=exact, expect_space=expect_space)
    return await _search(service, collection, q, wish)


@post(
    PATHS,
    operation_id=described.operation("search_filtered"),
    operation_class=described.body(schemas.SearchRequest),
    summary="Find documents, with filters and options",
    status_code=200,
    responses=problems.documented(404, 409, 413, 415, 422, 429, 503),
)
async def search_filtered(
    service: NamedDependency[Service],
    request: AnyRequest,
    collection: FromPath[str] = DEFAULT_COLLECTION,
) -> schemas.SearchResponse:
    """As GET, with a `filter` over the metadata: `{"year": {"$gte": 2020}}`."""
    sent = await bodies.read(request, schemas.SearchRequest, service.settings.max_body_bytes)
    if sent.filter is not None:
        bodies.check_metadata(sent.filter, "filter")
    wish = Wish(
        limit=sent.limit, exact=sent.exact, condition=sent.filter, expect_space=sent.expect_space
    )
    return await _search(service, collection, sent.q, wish)


async def _search(
    service: Service, collection: str, text: str, wish: Wish
) -> schemas.SearchResponse:
    if not text.strip():
        raise problems.Invalid("q", "is empty or only white space")
    bodies.check_text(text, "q")
    await service.collection(collection)
    return shapes.answer(await service.searcher.by_text(collection, text, wish))


@get(
    SIMILAR,
    operation_id=described.operation("similar_documents"),
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
) -> schemas.SearchResponse:
    """Those nearest to the mean of its chunks' vectors, without itself."""
    wish = Wish(limit=limit, exact=exact, expect_space=expect_space)
    found = await service.searcher.similar(collection, decoded(document_id), wish)
    return shapes.answer(found)


ROUTES = [search, search_filtered, similar]
