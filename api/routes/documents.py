"""Documents: written, listed, read, changed and deleted."""

from typing import Annotated, Literal

import msgspec
from litestar import delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.response.base import ASGIResponse
from litestar.types import ASGIApp

from api.http import bodies, ndjson, openapi, problems
from api.http.json_body import BoundedRequest
from api.schemas import documents as document_schemas
from api.service import Service
from api.services import document_stream
from api.services import documents as document_services
from storage.names import DEFAULT_COLLECTION

PATHS = ["/v1/collections/{collection:str}/documents", "/v1/documents"]
ONE = [f"{path}/{{document_id:str}}" for path in PATHS]


@post(
    PATHS,
    operation_id=openapi.operation("index_documents"),
    summary="Index documents",
    status_code=200,
    operation_class=openapi.documents_body(),
    responses=problems.documented(404, 413, 415, 422, 429, 503),
)
async def index(
    request: BoundedRequest,
    service: NamedDependency[Service],
    collection: FromPath[str] = DEFAULT_COLLECTION,
    results: FromQuery[Literal["all", "failed"]] = "all",
) -> ASGIApp:
    """Store and embed up to 1,000 documents as JSON, or any number of them as NDJSON.

    A document that fails does not affect the others; the last one for an id wins. A stream is
    answered line by line, in order, as soon as each document is stored.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == ndjson.MEDIA_TYPE:
        request.refuse_compression()
        return document_stream.DocumentStream(
            service, collection, only_failures=results == "failed"
        )
    # Not `data`: Litestar would read a stream's body, too.
    documents = bodies.decode(await request.body(), document_schemas.NewDocuments)
    answer = await document_services.index(service, collection, documents)
    return ASGIResponse(body=msgspec.json.encode(answer), media_type="application/json")


@get(
    PATHS,
    operation_id=openapi.operation("list_documents"),
    summary="List documents",
    responses=problems.documented(404, 422, 503),
)
async def list_all(
    service: NamedDependency[Service],
    collection: FromPath[str] = DEFAULT_COLLECTION,
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
) -> document_schemas.DocumentList:
    """Documents in a fixed order, without their texts."""
    return await document_services.list_page(service, collection, cursor, limit)


@delete(
    PATHS,
    operation_id=openapi.operation("delete_matching_documents"),
    summary="Delete documents by a filter",
    status_code=200,
    responses=problems.documented(404, 413, 415, 422, 429, 503),
)
async def remove_matching(
    service: NamedDependency[Service],
    data: JSONBody[document_schemas.Removal],
    collection: FromPath[str] = DEFAULT_COLLECTION,
) -> document_schemas.Removed:
    """Delete every document whose metadata match the filter in the body."""
    return await document_services.remove_matching(service, collection, data.filter)


@get(
    ONE,
    operation_id=openapi.operation("get_document"),
    summary="Get a document",
    responses=problems.documented(404, 422, 503),
)
async def get_one(
    document_id: FromPath[str],
    service: NamedDependency[Service],
    collection: FromPath[str] = DEFAULT_COLLECTION,
) -> document_schemas.Document:
    return await document_services.get(
        service, collection, document_services.decode_id(document_id)
    )


@patch(
    ONE,
    operation_id=openapi.operation("patch_document"),
    summary="Replace a document's metadata",
    responses=problems.documented(404, 413, 415, 422, 429, 503),
)
async def patch_one(
    document_id: FromPath[str],
    service: NamedDependency[Service],
    data: JSONBody[document_schemas.MetadataPatch],
    collection: FromPath[str] = DEFAULT_COLLECTION,
) -> document_schemas.Document:
    """The text stays, and nothing is embedded again."""
    return await document_services.patch_metadata(
        service, collection, document_services.decode_id(document_id), data.metadata
    )


@delete(
    ONE,
    operation_id=openapi.operation("delete_document"),
    summary="Delete a document",
    responses=problems.documented(404, 422, 503),
)
async def remove(
    document_id: FromPath[str],
    service: NamedDependency[Service],
    collection: FromPath[str] = DEFAULT_COLLECTION,
) -> None:
    await service.indexer.remove(collection, document_services.decode_id(document_id))


ROUTES = [index, list_all, remove_matching, get_one, patch_one, remove]
