"""Documents: checked one by one as clients send them (a bad one fails alone), and answered."""

from uuid import UUID

import msgspec

from api.http import bodies
from api.schemas import documents as document_schemas
from indexing.documents import results
from indexing.documents.indexer import Item
from storage import documents

MAX_ID_BYTES = 512


def parse_document(
    raw: bytes | msgspec.Raw, collection_id: UUID, *, max_chars: int, within: str = ""
) -> Item:
    """The document to store, or the result that says why it can't be."""
    try:
        sent = bodies.decode(raw, document_schemas.NewDocument, within)
        check(sent, max_chars, within)
    except bodies.BodyInvalid as error:
        return results.failed(_id_of(raw), error.slug, str(error))
    digest = documents.text_hash(sent.text)
    document_id = digest.hex() if sent.id is None else sent.id
    return documents.NewDocumentRow(
        doc_key=documents.key(collection_id, document_id),
        id=document_id,
        text=sent.text,
        text_hash=digest,
        metadata=msgspec.json.encode(sent.metadata, order="deterministic"),
    )


def check(sent: document_schemas.NewDocument, max_chars: int, within: str = "") -> None:
    """Raises BodyInvalid naming the field."""
    prefix = f"{within}." if within else ""
    if not sent.text.strip():
        raise bodies.BodyInvalid("is empty or only white space", field=f"{prefix}text")
    if len(sent.text) > max_chars:
        raise bodies.BodyInvalid(
            f"has {len(sent.text):,} characters; at most {max_chars:,} are taken: split it",
            field=f"{prefix}text",
            slug="too-large",
        )
    bodies.check_text(sent.text, f"{prefix}text")
    bodies.check_metadata(sent.metadata, f"{prefix}metadata")
    if sent.id is not None:
        check_id(sent.id, f"{prefix}id")


def check_id(document_id: str, field: str) -> None:
    """Raises BodyInvalid."""
    if not document_id:
        raise bodies.BodyInvalid("is empty; leave it out to have one derived", field=field)
    bodies.check_text(document_id, field)
    if len(document_id.encode()) > MAX_ID_BYTES:
        raise bodies.BodyInvalid(f"is longer than {MAX_ID_BYTES} bytes", field=field)


class _OnlyId(msgspec.Struct):
    id: str | None = None


def _id_of(raw: bytes | msgspec.Raw) -> str | None:
    """The id of a document that is wrong otherwise, so that its result can be told apart."""
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
