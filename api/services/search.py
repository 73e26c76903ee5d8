"""Searches for the routes: checked, run and answered."""

from collections.abc import Sequence

from api.http import bodies, problems
from api.schemas import search as search_schemas
from api.service import Service
from api.services import collections
from indexing.searcher import SearchAnswer, SearchQuery
from storage.search import Hit


async def by_text(
    service: Service, collection: str, text: str, query: SearchQuery
) -> search_schemas.SearchResponse:
    """Raises Invalid, BodyInvalid, and what `Searcher.by_text` does."""
    if query.condition is not None:
        bodies.check_metadata(query.condition, "filter")
    if not text.strip():
        raise problems.Invalid("q", "is empty or only white space")
    bodies.check_text(text, "q")
    await service.collection(collection)
    return _response(await service.searcher.by_text(collection, text, query))


async def similar(
    service: Service, collection: str, document_id: str, query: SearchQuery
) -> search_schemas.SearchResponse:
    """Raises what `Searcher.similar` does."""
    return _response(await service.searcher.similar(collection, document_id, query))


def _response(answer: SearchAnswer) -> search_schemas.SearchResponse:
    return search_schemas.SearchResponse(
        collection=answer.collection.row.name,
        space=collections.space(answer.collection),
        index=answer.collection.active.id,
        results=_hits(answer.nearest.hits),
        complete=answer.nearest.complete,
        path=answer.nearest.path,
        query_cut=answer.query_cut,
    )


def _hits(hits: Sequence[Hit]) -> list[search_schemas.SearchResult]:
    return [
        search_schemas.SearchResult(
            id=hit.id,
            score=hit.score,
            metadata=hit.metadata,
            chunk=search_schemas.ResultChunk(
                no=hit.chunk_no, start=hit.char_start, end=hit.char_end, text=hit.text
            ),
        )
        for hit in hits
    ]
