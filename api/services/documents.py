"""Documents for the routes: checked one by one, written, read and described."""

from urllib.parse import unquote
from uuid import UUID

import msgspec

from api.http import bodies, pagination, problems
from api.schemas import documents as document_schemas
from api.schemas.common import Metadata
from api.service import Service
from api.services import collections as collection_services
from indexing import retries
from indexing.documents import results
from indexing.documents.indexer import Item
from storage import collections, documents, filters

MAX_ID_BYTES = 512
_BATCH = 128


async def index(
    service: Service, name: str, request: document_schemas.NewDocuments
) -> document_schemas.DocumentResults:
    """Raises Invalid if the only document fails, CollectionNotFound, Overloaded, Busy."""
    collection = await service.collection(name)
    items = [
        parse_document(
            raw,
            collection.row.id,
            max_chars=service.settings.max_text_chars,
            within=f"documents[{no}]",
        )
        for no, raw in enumerate(request.documents)
    ]
    # A stream waits for its turn, held back by its connection; what is in memory here must not.
    await service.indexer.require_room(name)
    async with service.indexer.stream(collection.row, bulk=False) as stream:
        written = await stream.all(items, _BATCH)
    if len(written) == 1 and written[0].status == "failed":
        raise _invalid(written[0])
    collection = await service.collection(name)
    return document_schemas.DocumentResults(
        collection=name,
        space=collection_services.space(collection),
        index=collection.active.id,
        results=[document_result(result) for result in written],
    )


def _invalid(result: results.WriteResult) -> problems.Invalid:
    field, _, detail = (result.detail or "").partition(": ")
    if not field.startswith("documents[0]"):
        field, detail = "documents[0].text", result.detail or ""
    return problems.Invalid(field, detail, result.reason or "failed")


async def list_page(
    service: Service, name: str, cursor: str | None, limit: int
) -> document_schemas.DocumentList:
    """Raises CollectionNotFound, BodyInvalid for an invalid cursor."""
    collection = await service.collection(name)
    after = _parse_cursor(cursor)
    async with service.engine.connect() as conn:
        rows = await documents.page(conn, collection.row.id, after, limit)
    last = rows[-1][0] if len(rows) == limit else None
    return document_schemas.DocumentList(
        items=[document_line(row) for _, row in rows],
        next_cursor=None if last is None else pagination.encode_cursor(str(last)),
    )


def _parse_cursor(cursor: str | None) -> UUID | None:
    after = pagination.decode_cursor(cursor)
    try:
        return None if after is None else UUID(after)
    except ValueError as error:
        raise bodies.BodyInvalid(pagination.INVALID, field="cursor") from error


async def get(service: Service, name: str, document_id: str) -> document_schemas.Document:
    """Raises CollectionNotFound, DocumentNotFound."""
    await service.collection(name)
    async with service.engine.connect() as conn:
        # Not as the catalog keeps it: no statement asserts the index here.
        collection = await collections.find(conn, name)
        return document(await documents.get(conn, collection, document_id))


async def patch_metadata(
    service: Service, name: str, document_id: str, metadata: Metadata
) -> document_schemas.Document:
    """Raises BodyInvalid, CollectionNotFound, DocumentNotFound, Busy."""
    bodies.check_metadata(metadata, "metadata")
    await service.collection(name)

    async def work() -> document_schemas.Document:
        async with service.engine.begin() as conn:
            collection = await collections.find(conn, name)
            await documents.patch_metadata(conn, collection, document_id, metadata)
            return document(await documents.get(conn, collection, document_id))

    return await retries.writing(work)


async def remove_matching(
    service: Service, name: str, condition: Metadata
) -> document_schemas.Removed:
    """Raises BodyInvalid, FilterInvalid, CollectionNotFound, Busy."""
    bodies.check_metadata(condition, "filter")
    filters.clause(condition)
    removed = await service.indexer.remove_matching(name, condition)
    return document_schemas.Removed(removed=removed)


def decode_id(segment: str) -> str:
    """A document's id from its percent-encoded path segment. Raises BodyInvalid."""
    try:
        document_id = unquote(segment, errors="strict")
    except UnicodeDecodeError as error:
        raise bodies.BodyInvalid("is not percent-encoded UTF-8", field="id") from error
    check_id(document_id, "id")
    return document_id


def parse_document(
    raw: bytes | msgspec.Raw, collection_id: UUID, *, max_chars: int, within: str = ""
) -> Item:
    """The document to store, or the result that says why it can't be."""
    try:
        document = bodies.decode(raw, document_schemas.NewDocument, within)
        check_document(document, max_chars, within)
    except bodies.BodyInvalid as error:
        return results.failed(_read_id(raw), error.slug, str(error))
    digest = documents.text_hash(document.text)
    document_id = digest.hex() if document.id is None else document.id
    return documents.NewDocumentRow(
        doc_key=documents.key(collection_id, document_id),
        id=document_id,
        text=document.text,
        text_hash=digest,
        metadata=msgspec.json.encode(document.metadata, order="deterministic"),
    )


def check_document(
    document: document_schemas.NewDocument, max_chars: int, within: str = ""
) -> None:
    """Raises BodyInvalid naming the field."""
    prefix = f"{within}." if within else ""
    if not document.text.strip():
        raise bodies.BodyInvalid("is empty or only white space", field=f"{prefix}text")
    if len(document.text) > max_chars:
        raise bodies.BodyInvalid(
            f"has {len(document.text):,} characters; the limit is {max_chars:,}: split it",
            field=f"{prefix}text",
            slug="too-large",
        )
    bodies.check_text(document.text, f"{prefix}text")
    bodies.check_metadata(document.metadata, f"{prefix}metadata")
    if document.id is not None:
        check_id(document.id, f"{prefix}id")


def check_id(document_id: str, field: str) -> None:
    """Raises BodyInvalid."""
    if not document_id:
        raise bodies.BodyInvalid("is empty; leave it out to have one derived", field=field)
    bodies.check_text(document_id, field)
    if len(document_id.encode()) > MAX_ID_BYTES:
        raise bodies.BodyInvalid(f"is longer than {MAX_ID_BYTES} bytes", field=field)


class _OnlyId(msgspec.Struct):
    id: str | None = None


def _read_id(raw: bytes | msgspec.Raw) -> str | None:
    """The id of an otherwise invalid document, so that its result names it."""
    try:
        return msgspec.json.decode(raw, type=_OnlyId).id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def document_result(
    result: results.WriteResult, line: int | None = None
) -> document_schemas.DocumentResult:
    return document_schemas.DocumentResult(
        id=result.id,
        status=result.status,
        line=msgspec.UNSET if line is None else line,
        version=result.version,
        chunks=result.chunks,
        tokens=result.tokens,
        cut=result.cut,
        pending=result.pending,
        warnings=result.warnings,
        reason=result.reason,
        detail=result.detail,
    )


def document(row: documents.DocumentRow) -> document_schemas.Document:
    return document_schemas.Document(
        id=row.id,
        text=row.text,
        metadata=row.metadata,
        version=row.version,
        chunks=row.chunks,
        searchable=row.chunks > 0,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def document_line(row: documents.DocumentSummary) -> document_schemas.DocumentLine:
    return document_schemas.DocumentLine(
        id=row.id,
        version=row.version,
        metadata=row.metadata,
        chars=row.chars,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
