from typing import Annotated, Literal
from urllib.parse import unquote
from uuid import UUID

import msgspec
from litestar import Request, delete, get, patch, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.response.base import ASGIResponse
from litestar.types import ASGIApp

from api.http import bodies, ndjson, openapi, pagination, problems
from api.schemas import documents as document_schemas
from api.service import Service
from api.services import collections as collection_services
from api.services import document_stream
from api.services import documents as document_services
from storage import collections, documents, filters
from storage.names import DEFAULT_COLLECTION

PATHS = ["/v1/collections/{collection:str}/documents", "/v1/documents"]
ONE = [f"{path}/{{document_id:str}}" for path in PATHS]
WINDOW = 128

AnyRequest = Request[None, None, State]


@post(
    PATHS,
    operation_id=openapi.operation("index_documents"),
    summary="Index documents",
    status_code=200,
    operation_class=openapi.documents_body(),
    responses=problems.documented(404, 413, 415, 422, 429, 503),
)
async def index(
    request: AnyRequest,
    service: NamedDependency[Service],
    collection: FromPath[str] = DEFAULT_COLLECTION,
    results: FromQuery[Literal["all", "failed"]] = "all",
) -> ASGIApp:
    """Store and embed up to 1,000 documents as JSON, or any number of them as NDJSON.

    A document that fails, fails alone; the last one for an id wins. A stream is answered line by
    line, in its order, as soon as each is stored.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == ndjson.MEDIA_TYPE:
        bodies.check_encoding(request)
        return document_stream.DocumentStream(
            service, collection, only_failures=results == "failed"
        )
    sent = await bodies.read(
        request, document_schemas.NewDocuments, service.settings.max_body_bytes
    )
    answer = await _index(service, collection, sent)
    return ASGIResponse(body=msgspec.json.encode(answer), media_type="application/json")


async def _index(
    service: Service, name: str, sent: document_schemas.NewDocuments
) -> document_schemas.DocumentResults:
    found = await service.collection(name)
    settings = service.settings
    items = [
        document_services.parse_document(
            raw, found.row.id, max_chars=settings.max_text_chars, within=f"documents[{no}]"
        )
        for no, raw in enumerate(sent.documents)
    ]
    # A stream waits for its turn, held back by its connection; what lies in memory here must not.
    await service.indexer.require_room(name)
    async with service.indexer.stream(found.row, bulk=False) as stream:
        done = await stream.all(items, WINDOW)
    if len(done) == 1 and done[0].status == "failed":
        only = done[0]
        field, _, detail = (only.detail or "").partition(": ")
        if not field.startswith("documents[0]"):
            field, detail = "documents[0].text", only.detail or ""
        raise problems.Invalid(field, detail, only.reason or "failed")
    found = await service.collection(name)
    return document_schemas.DocumentResults(
        collection=name,
        space=collection_services.space(found),
        index=found.active.id,
        results=[document_services.document_result(result) for result in done],
    )


@get(
    PATHS,
    operation_id=openapi.operation("list_documents"),
    summary="List documents",
    responses=problems.documented(404, 422, 503),
)
async def page(
    service: NamedDependency[Service],
    collection: FromPath[str] = DEFAULT_COLLECTION,
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
) -> document_schemas.DocumentList:
    """Documents in a fixed order, without their texts."""
    found = await service.collection(collection)
    async with service.engine.connect() as conn:
        after = pagination.from_cursor(cursor)
        rows = await documents.page(
            conn, found.row.id, None if after is None else _key(after), limit
        )
    last = rows[-1][0] if len(rows) == limit else None
    return document_schemas.DocumentList(
        items=[document_services.document_line(row) for _, row in rows],
        next_cursor=None if last is None else pagination.cursor(str(last)),
    )


def _key(cursor: str) -> UUID:
    try:
        return UUID(cursor)
    except ValueError as error:
        raise bodies.BodyInvalid(
            "this is no cursor of a list of documents", field="cursor"
        ) from error


@delete(
    PATHS,
    operation_id=openapi.operation("delete_matching_documents"),
    operation_class=openapi.body(document_schemas.Removal),
    summary="Delete documents by a filter",
    status_code=200,
    responses=problems.documented(404, 413, 415, 422, 429, 503),
)
async def remove_matching(
    service: NamedDependency[Service],
    request: AnyRequest,
    collection: FromPath[str] = DEFAULT_COLLECTION,
) -> document_schemas.Removed:
    """Delete every document whose metadata fulfil the filter of the body."""
    sent = await bodies.read(request, document_schemas.Removal, service.settings.max_body_bytes)
    bodies.check_metadata(sent.filter, "filter")
    filters.clause(sent.filter)
    return document_schemas.Removed(
        removed=await service.indexer.remove_matching(collection, sent.filter)
    )


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
    await service.collection(collection)
    async with service.engine.connect() as conn:
        # Not as the catalog keeps it: no statement asserts the index here.
        found = await collections.find(conn, collection)
        row = await documents.get(conn, found, decoded(document_id))
    return document_services.document(row)


@patch(
    ONE,
    operation_id=openapi.operation("patch_document"),
    operation_class=openapi.body(document_schemas.MetadataPatch),
    summary="Replace a document's metadata",
    responses=problems.documented(404, 413, 415, 422, 429, 503),
)
async def patch_one(
    document_id: FromPath[str],
    request: AnyRequest,
    service: NamedDependency[Service],
    collection: FromPath[str] = DEFAULT_COLLECTION,
) -> document_schemas.Document:
    """The text stays, and nothing is embedded again."""
    sent = await bodies.read(
        request, document_schemas.MetadataPatch, service.settings.max_body_bytes
    )
    bodies.check_metadata(sent.metadata, "metadata")
    await service.collection(collection)
    id_ = decoded(document_id)
    async with service.engine.begin() as conn:
        found = await collections.find(conn, collection)
        await documents.patch_metadata(conn, found, id_, sent.metadata)
        row = await documents.get(conn, found, id_)
    return document_services.document(row)


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
    await service.indexer.remove(collection, decoded(document_id))


def decoded(segment: str) -> str:
    """A document's id from its percent-encoded path segment. Raises BodyInvalid."""
    try:
        id_ = unquote(segment, errors="strict")
    except UnicodeDecodeError as error:
        raise bodies.BodyInvalid("is not UTF-8, percent-encoded", field="id") from error
    document_services.check_id(id_, "id")
    return id_


ROUTES = [index, page, remove_matching, get_one, patch_one, remove]
