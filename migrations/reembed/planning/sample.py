"""A sample of a collection's documents, chunked for a model that it may move to."""

import asyncio
import dataclasses
import random
import time
from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from embedding.errors import NoTokens
from embedding.text.chunking import Chunk, Chunking, Prepared
from indexing.documents.results import UNKNOWN_SHARE
from indexing.models.loaded import Loaded
from migrations.reembed.planning import estimates
from migrations.reembed.planning.estimates import DocumentEstimate, Duration, Population, Total
from storage import document_samples
from storage.document_samples import SampledText

_DOCUMENTS = 300
_BYTES = 400_000
# Read of a text; the rest of a longer one is taken to be like it.
_CHARS = 8000
_SIZES = 3000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """`documents` as the target would embed them, and the `chunks` of what was read.

    `prepare_s`: seconds to chunk them, scaled to whole texts. Shares of documents: `too_long` for
    the model without chunking, `cut` with this chunking, `unreadable` if the model knows few of
    their tokens.
    """

    population: Population
    documents: Sequence[DocumentEstimate]
    chunks: Sequence[Chunk]
    prepare_s: float
    too_long: float
    cut: float
    unreadable: float

    @property
    def empty(self) -> float:
        """The share of documents without a token that carries content."""
        return _share(not document.by_bucket for document in self.documents)

    @property
    def sizes(self) -> list[int]:
        return [document.size for document in self.documents]

    def total(self, values: Sequence[float]) -> Total:
        """The total over all documents, from one value per document of the sample."""
        return estimates.estimate_total(values, self.sizes, self.population)

    def total_time(self, durations: Sequence[Duration]) -> Duration:
        """Seconds for all documents, from those of each document of the sample."""
        return estimates.total_time(durations, self.sizes, self.population)


async def take(
    engine: AsyncEngine, collection_id: UUID, loaded: Loaded, chunking: Chunking
) -> Sample:
    """Up to 300 documents and about 400 kB, the same ones each time; `chunking` is resolved."""
    population, texts = await _read(engine, collection_id)
    started = time.perf_counter()
    prepared = await loaded.model.prepare([text.beginning for text in texts], chunking)
    took = time.perf_counter() - started
    pairs = list(zip(prepared, texts, strict=True))
    usable = [chunked for chunked in prepared if isinstance(chunked, Prepared)]
    bytes_read = sum(len(text.beginning.encode()) for text in texts)
    return Sample(
        population=population,
        documents=[
            estimates.estimate_document(chunked, text.beginning, text.size, chunking)
            for chunked, text in pairs
        ],
        chunks=[chunk for chunked in usable for chunk in chunked.chunks],
        prepare_s=took * sum(text.size for text in texts) / max(1, bytes_read),
        too_long=await asyncio.to_thread(_too_long, pairs, loaded),
        cut=_share(isinstance(chunked, Prepared) and chunked.cut for chunked in prepared),
        unreadable=_share(
            isinstance(chunked, Prepared) and chunked.unknown_share > UNKNOWN_SHARE
            for chunked in prepared
        ),
    )


async def _read(engine: AsyncEngine, collection_id: UUID) -> tuple[Population, list[SampledText]]:
    start = UUID(int=random.Random(collection_id.int).getrandbits(128))  # noqa: S311 - no secret
    async with engine.connect() as conn:
        count = await document_samples.count(conn, collection_id)
        sizes = await document_samples.sizes(conn, collection_id, start=start, count=_SIZES)
        if not sizes:
            return Population(0, []), []
        # Decided before reading texts: stopping at a long one would favour short ones.
        mean = sum(min(size, _CHARS) for size in sizes) / len(sizes)
        wanted = min(_DOCUMENTS, max(1, round(_BYTES / max(1.0, mean))))
        texts = await document_samples.texts(
            conn, collection_id, start=start, count=wanted, chars=_CHARS
        )
    return Population(max(count, len(sizes)), sizes), texts


def _too_long(pairs: Sequence[tuple[Prepared | NoTokens, SampledText]], loaded: Loaded) -> float:
    tokenizer, prompt = loaded.model.tokenizer, loaded.model.space.document_prompt
    limit = tokenizer.limit
    if limit is None:
        return 0.0

    def is_too_long(prepared: Prepared | NoTokens, text: SampledText) -> bool:
        if isinstance(prepared, NoTokens):
            return False
        if len(prepared.chunks) == 1 and not prepared.cut:  # what was read fits
            tokens = prepared.tokens
        else:
            tokens = tokenizer.count(text.beginning, prompt)
        return tokens * text.size / max(1, len(text.beginning.encode())) > limit

    return _share(is_too_long(*pair) for pair in pairs)


def _share(flags: Iterable[bool]) -> float:
    values = list(flags)
    return sum(values) / len(values) if values else 0.0
