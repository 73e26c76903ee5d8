"""From what the packages below return to what goes over the wire."""

import base64
from collections.abc import Mapping, Sequence

import msgspec

from api import bodies, schemas
from indexing import results
from indexing.catalog import Collection
from indexing.searcher import Answer
from storage import collections, documents
from storage.search import Hit


def space(collection: Collection) -> schemas.SpaceName:
    return schemas.SpaceName(id=collection.active.fingerprint, model=collection.active.model_id)


def collection(
    found: Collection, counts: collections.Counts, path: schemas.SearchPath
) -> schemas.Collection:
    active = found.active
    return schemas.Collection(
        name=found.row.name,
        model=active.model_id,
        space=space(found),
        index=active.id,
        chunking=schemas.ChunkingShown(
            strategy=active.strategy, size=active.size, overlap=active.overlap
        ),
        documents=counts.documents,
        chunks=counts.chunks,
        pending=counts.pending,
        created_at=found.row.created_at,
        search=path,
        evidence=_evidence(active.evidence),
    )


def _evidence(found: Mapping[str, object] | None) -> schemas.Evidence | msgspec.UnsetType:
    return msgspec.UNSET if found is None else msgspec.convert(found, schemas.Evidence)


def document_result(result: results.Result, line: int | None = None) -> schemas.DocumentResult:
    return schemas.DocumentResult(
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


def document(found: documents.DocumentRow) -> schemas.Document:
    return schemas.Document(
        id=found.id,
        text=found.text,
        metadata=found.metadata,
        version=found.version,
        chunks=found.chunks,
        searchable=found.chunks > 0,
        created_at=found.created_at,
        updated_at=found.updated_at,
    )


def document_line(found: documents.DocumentLine) -> schemas.DocumentLine:
    return schemas.DocumentLine(
        id=found.id,
        version=found.version,
        metadata=found.metadata,
        chars=found.chars,
        created_at=found.created_at,
        updated_at=found.updated_at,
    )


def answer(found: Answer) -> schemas.SearchResponse:
    return schemas.SearchResponse(
        collection=found.collection.row.name,
        space=space(found.collection),
        index=found.collection.active.id,
        results=_hits(found.nearest.hits),
        complete=found.nearest.complete,
        path=found.nearest.path,
        query_cut=found.query_cut,
    )


def _hits(hits: Sequence[Hit]) -> list[schemas.Found]:
    return [
        schemas.Found(
            id=hit.id,
            score=hit.score,
            metadata=hit.metadata,
            chunk=schemas.FoundChunk(
                no=hit.chunk_no, start=hit.char_start, end=hit.char_end, text=hit.text
            ),
        )
        for hit in hits
    ]


def cursor(value: str) -> str:
    """An opaque cursor for the last `value` of a page."""
    return base64.urlsafe_b64encode(value.encode()).decode().rstrip("=")


def from_cursor(given: str | None) -> str | None:
    """Raises BodyInvalid."""
    if given is None:
        return None
    try:
        found = base64.urlsafe_b64decode(given + "=" * (-len(given) % 4)).decode()
        bodies.check_text(found, "cursor")
        return found
    except ValueError as error:
        raise bodies.BodyInvalid(
            "this is no cursor of a former answer's `next_cursor`", field="cursor"
        ) from error
