"""Warnings about a target model, and about the texts that it would embed."""

from collections.abc import Iterator

from embedding.text.chunking import Chunking
from indexing.documents.results import UNKNOWN_SHARE
from indexing.models.loaded import Loaded
from migrations.reembed.planning.measurement import Measurement
from storage import vectors


def model_warnings(target: Loaded, chunking: Chunking, measured: Measurement) -> Iterator[str]:
    """One sentence each; numbers of documents are estimated from the sample."""
    documents, model = measured.documents, target.name
    if measured.cut:
        yield (
            f"{_about(measured.cut, documents)} are longer than {chunking.size} tokens: without"
            " chunking only their beginning is embedded, and searches won't find the rest"
        )
    if measured.empty:
        yield (
            f"{_about(measured.empty, documents)} have no token that counts as content for {model}:"
            " they would be set aside, and must be changed, deleted or waived before the cutover"
        )
    if measured.unreadable:
        yield (
            f"{_about(measured.unreadable, documents)} have more than {UNKNOWN_SHARE:.0%} tokens"
            f" that {model} doesn't know: they may be in a language it was not trained for"
        )
    dimensions = target.model.space.dimensions
    if dimensions > vectors.MAX_HNSW_DIMENSIONS:
        yield (
            f"{dimensions:,} dimensions are too many for HNSW (at most"
            f" {vectors.MAX_HNSW_DIMENSIONS:,}): every search would be an exact scan"
        )
    yield from target.model.description.warnings


def _about(share: float, documents: int) -> str:
    return f"about {max(1, round(share * documents)):,} of {documents:,} documents"
