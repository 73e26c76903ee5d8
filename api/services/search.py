"""What the service answers to a search."""

from collections.abc import Sequence

from api.schemas import search as search_schemas
from api.services import collections
from indexing.searcher import SearchAnswer
from storage.search import Hit


def response(answer: SearchAnswer) -> search_schemas.SearchResponse:
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
