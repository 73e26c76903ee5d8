"""Some documents of a collection, cut for a model that it may move to."""

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
# Of a longer text the rest is taken to go on like this.
_CHARS = 8000
_SIZES = 3000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """`documents` as the target would embed them, `chunks` of what was read of them.

    `prepare_s`: seconds that cutting them took, all texts whole. Shares of documents: `too_long`
    for the model without chunking, `cut` under this chunking, `unreadable` ones that it knows few
    tokens of.
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
        return _share(not one.by_bucket for one in self.documents)

    @property
    def sizes(self) -> list[int]:
        return [one.size for one in self.documents]

    def total(self, values: Sequence[float]) -> Total:
        """Over all documents, of one value for each of the sample."""
        return estimates.estimate_total(values, self.sizes, self.population)

    def total_time(self, spans: Sequence[Duration]) -> Duration:
        """Seconds of all documents, of those for each of the sample."""
        return estimates.total_time(spans, self.sizes, self.population)


async def take(
    engine: AsyncEngine, collection_id: UUID, loaded: Loaded, cutting: Chunking
) -> Sample:
    """Up to 300 documents and about 400 kB; the same ones each time. `cutting` is resolved."""
    population, texts = await _read(engine, collection_id)
    started = time.perf_counter()
    prepared = await loaded.model.prepare([one.beginning for one in texts], cutting)
    took = time.perf_counter() - started
    pairs = list(zip(prepared, texts, strict=True))
    found = [
        estimates.estimate_document(one, text.beginning, text.size, cutting) for one, text in pairs
    ]
    good = [one for one in prepared if isinstance(one, Prepared)]
    read = sum(len(text.beginning.encode()) for text in texts)
    return Sample(
        population=population,
        documents=found,
        chunks=[chunk for one in good for chunk in one.chunks],
        prepare_s=took * sum(text.size for text in texts) / max(1, read),
        too_long=await asyncio.to_thread(_too_long, pairs, loaded),
        cut=_share(isinstance(one, Prepared) and one.cut for one in prepared),
        unreadable=_share(
            isinstance(one, Prepared) and one.unknown_share > UNKNOWN_SHARE for one in prepared
        ),
    )


async def _read(engine: AsyncEngine, collection_id: UUID) -> tuple[Population, list[SampledText]]:
    start = UUID(int=random.Random(collection_id.int).getrandbits(128))  # noqa: S311 - no secret
    async with engine.connect() as conn:
        count = await document_samples.count(conn, collection_id)
        sizes = await document_samples.sizes(conn, collection_id, start=start, count=_SIZES)
        if not sizes:
            return Population(0, []), []
        # Settled before any of the texts is seen: to stop at a long one favours short ones.
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

    def over(prepared: Prepared | NoTokens, text: SampledText) -> bool:
        if isinstance(prepared, NoTokens):
            return False
        if len(prepared.chunks) == 1 and not prepared.cut:  # fits, so far as it was read
            tokens = prepared.tokens
        else:
            tokens = tokenizer.count(text.beginning, prompt)
        return tokens * text.size / max(1, len(text.beginning.encode())) > limit

    return _share(over(*pair) for pair in pairs)


def _share(flags: Iterable[bool]) -> float:
    seen = list(flags)
    return sum(seen) / len(seen) if seen else 0.0
