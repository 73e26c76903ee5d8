"""What a person should know before a collection moves to a model: of the model and its texts."""

from collections.abc import Iterator

from embedding.text.chunking import Chunking
from indexing.documents.results import UNKNOWN_SHARE
from indexing.models.loaded import Loaded
from migrations.reembed.planning.measurement import Measurement
from storage import vectors


def model_warnings(target: Loaded, chunking: Chunking, found: Measurement) -> Iterator[str]:
    """One sentence each; numbers of documents are estimates by the sample."""
    if found.cut:
        yield (
            f"{_about(found.cut, found)} are longer than {chunking.size} tokens: without chunking"
            " only their beginning is embedded, and what follows is not found"
        )
    if found.empty:
        yield (
            f"{_about(found.empty, found)} have no token that {target.name} takes for content: they"
            " would be set aside, and have to be changed, deleted or waived before the cut-over"
        )
    if found.unreadable:
        yield (
            f"{_about(found.unreadable, found)} have over {UNKNOWN_SHARE:.0%} tokens that are"
            f" unknown to {target.name}: they may be in a language that it was not made for"
        )
    dimensions = target.model.space.dimensions
    if dimensions > vectors.MAX_HNSW_DIMENSIONS:
        yield (
            f"{dimensions:,} dimensions are more than HNSW takes ({vectors.MAX_HNSW_DIMENSIONS:,}):"
            " every search would be an exact scan"
        )
    yield from target.model.description.warnings


def _about(share: float, found: Measurement) -> str:
    return f"about {max(1, round(share * found.documents)):,} of {found.documents:,} documents"
