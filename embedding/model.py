import asyncio
import concurrent.futures
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, TypeVarTuple

import numpy as np
from numpy.typing import NDArray

from embedding import (
    canaries,
    canary_check,
    chunking,
    description,
    encoder,
    errors,
    executor,
    reading,
    spaces,
    tokenizing,
)
from embedding.scheduler import Urgency

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

MAX_QUEUED_TOKENS = 300_000
# Queries have an encoder of their own: one that waits for others' texts would not be served soon.
# So only what is soon done goes there.
_FEW_ROWS = 4
_SHORT_TOKENS = 64


@dataclass(frozen=True, eq=False)
class Encoded:
    """Vectors of one space, (n, dimensions): finite and of unit length, but for `failures`.

    `failures` says why, by place, for what the encoder gave no vector; these rows are NaN.
    `tokens` were read of each text, prompt and special tokens included; `cut`: there were more.
    """

    fingerprint: str
    vectors: NDArray[np.float32]
    failures: Mapping[int, str] = field(default_factory=dict)
    tokens: tuple[int, ...] = ()
    cut: tuple[bool, ...] = ()


@dataclass(frozen=True)
class Status:
    """How busy a model is, and what keeps it from encoding (None where all is well)."""

    waiting_tokens: int
    capacity: int
    tokens_per_second: float
    problem: str | None


class LoadedModel:
    """A model ready to encode, with its threads; `close` it when no call is running.

    Its coroutines are called from one event loop. A call that is cancelled takes its texts out of
    the queue.
    """

    def __init__(
        self,
        model: description.ModelDescription,
        encodes: encoder.Encoder,
        check: canary_check.Check,
        tokenizer: tokenizing.Tokenizer,
        build: Mapping[str, spaces.Json],
        *,
        max_queued_tokens: int = MAX_QUEUED_TOKENS,
    ) -> None:
        self.description = model
        self.tokenizer = tokenizer
        self.build = build
        self.dtype = encodes.dtype
        self._encoder = encodes
        self._check = check
        self._reader = reading.Reader(model, tokenizer)
        self._text_thread = concurrent.futures.ThreadPoolExecutor(1, "tokenize")
        self._executor = executor.Executor(
            encodes,
            dimensions=model.space.dimensions,
            sound=check.rows[canaries.QUICK[0]],
            capacity=max_queued_tokens,
        )
        self._admission = self._executor.admission

    @property
    def space(self) -> spaces.Space:
        return self.description.space

    @property
    def reference(self) -> NDArray[np.float32]:
        """The canaries' torch fp32 vectors, (canaries, dimensions)."""
        return self._check.reference

    def status(self) -> Status:
        load = self._admission
        return Status(load.waiting, load.capacity, load.rate, self._executor.problem)

    def require_room(self) -> None:
        """Raises Overloaded where no more texts are taken at present."""
        self._admission.require_room()

    async def encode_texts(
        self,
        texts: Sequence[str],
        *,
        role: reading.Role = "document",
        truncate: bool = False,
        urgency: Urgency | None = None,
    ) -> Encoded:
        """The vectors in the order given, with the prompt of `role`.

        Raises NoTokens and TextTooLong (where not `truncate`) with the text's index, TooMuch,
        Overloaded, EncoderDied, EncoderFailed.
        """
        estimate = self._reader.estimate(texts)
        if estimate // 2 > self._admission.capacity:
            raise errors.TooMuch(estimate, self._admission.capacity)
        read = functools.partial(self._reader.read, texts, role, truncate=truncate)
        rows = await self._admitted(min(estimate, self._admission.capacity), texts, read)
        try:
            urgency = self._urgency(rows, role) if urgency is None else urgency
            return await self._encode(rows, urgency)
        finally:
            self._admission.release(sum(rows.tokens))

    async def encode_ids(
        self, given: Sequence[Sequence[int]], *, truncate: bool = False
    ) -> Encoded:
        """Rows of ids exactly as `tokenize` gives them; TokenIdsInvalid, and as `encode_texts`."""
        rows = self._reader.take(given, truncate=truncate)
        tokens = sum(rows.tokens)
        self._admission.admit(tokens)
        try:
            return await self._encode(rows, self._urgency(rows, "document"))
        finally:
            self._admission.release(tokens)

    async def encode_query(self, text: str) -> Encoded:
        """One vector, (1, dimensions), with the query prompt, of the beginning of a long text."""
        return await self.encode_texts([text], role="query", truncate=True, urgency=Urgency.QUERY)

    async def encode_chunks(
        self, chunks: Sequence[chunking.Chunk], urgency: Urgency = Urgency.WRITE
    ) -> Encoded:
        """The vectors in the order given, as soon as there is room; EncoderFailed, EncoderDied."""
        prompt = self.description.document_prompt.text
        rows = reading.Rows(
            [chunk.ids for chunk in chunks],
            (False,) * len(chunks),
            self._reader.pooled_from(prompt),
        )
        tokens = sum(rows.tokens)
        await self._admission.wait(tokens)
        try:
            return await self._encode(rows, urgency)
        finally:
            self._admission.release(tokens)

    async def tokenize(
        self, texts: Sequence[str], *, role: reading.Role = "document"
    ) -> list[reading.Tokenized]:
        """Whole texts as the encoder would see them; TooMuch."""
        estimate = self._reader.estimate(texts, whole=True)
        if estimate // 2 > self._admission.capacity:
            raise errors.TooMuch(estimate, self._admission.capacity)
        return await _on(self._text_thread, self._reader.tokenize, texts, role)

    async def prepare(
        self, texts: Sequence[str], chunking_: chunking.Chunking
    ) -> list[chunking.Prepared | errors.NoTokens]:
        """Texts to chunks, with the document prompt; ChunkingInvalid."""
        return await _on(self._text_thread, self.prepare_now, texts, chunking_)

    def prepare_now(
        self, texts: Sequence[str], chunking_: chunking.Chunking
    ) -> list[chunking.Prepared | errors.NoTokens]:
        """The same on the calling thread, which it holds for about a second per megabyte."""
        prompt = self.description.document_prompt.text
        return chunking.prepare(texts, self.tokenizer, chunking_, prompt=prompt)

    async def encode_canaries(
        self, which: Sequence[int] = canaries.ALL, *, alone: bool = False
    ) -> NDArray[np.float32]:
        """Canaries as documents, in padded batches or each by itself; those that fail are NaN."""
        return await asyncio.to_thread(self._canaries, which, alone)

    async def check_canaries(self, which: Sequence[int] = canaries.ALL) -> canaries.Report:
        """Compare both instances with the reference of the conversion; queries wait meanwhile."""
        together = await self.encode_canaries(which)
        alone = await self.encode_canaries(which, alone=True)
        reference = self.reference[list(which)]
        return canaries.worse(
            canaries.compare(reference, together, which), canaries.compare(reference, alone, which)
        )

    def close(self) -> None:
        """Stop the threads and free the model; blocks until running batches are done."""
        self._text_thread.shutdown(cancel_futures=True)
        self._executor.close()

    async def _admitted(
        self, estimate: int, texts: Sequence[str], read: Callable[[], reading.Rows]
    ) -> reading.Rows:
        """Rows whose tokens count as waiting; refused by an estimate before they are read."""
        self._admission.admit(estimate)
        try:
            short = sum(map(len, texts)) <= tokenizing.HOLDING_CHARS
            # A change of threads costs more than reading a few words.
            rows = read() if short else await _on(self._text_thread, read)
            tokens = sum(rows.tokens)
            if tokens > self._admission.capacity:
                raise errors.TooMuch(tokens, self._admission.capacity)
        except BaseException:
            self._admission.release(estimate)
            raise
        self._admission.correct(estimate, tokens)
        return rows

    def _urgency(self, rows: reading.Rows, role: reading.Role) -> Urgency:
        if len(rows.ids) > _FEW_ROWS:
            return Urgency.WRITE
        if role == "query":
            return Urgency.QUERY
        # A single short text is most likely a query of a client that knows no roles.
        soon = sum(rows.tokens) <= _SHORT_TOKENS and self._executor.queries_idle
        return Urgency.QUERY if soon else Urgency.WRITE

    async def _encode(self, rows: reading.Rows, urgency: Urgency) -> Encoded:
        vectors = np.empty((0, self.space.dimensions), np.float32)
        failures: Mapping[int, str] = {}
        if rows.ids:
            job = await self._executor.run(rows.ids, urgency, pooled_from=rows.pooled_from)
            vectors, failures = job.vectors, job.failures
        return Encoded(self.space.fingerprint, vectors, failures, rows.tokens, rows.cut)

    def _canaries(self, which: Sequence[int], alone: bool) -> NDArray[np.float32]:
        return self._check.vectors(self._encoder, which, alone=alone)


async def _on(
    threads: concurrent.futures.ThreadPoolExecutor,
    call: Callable[[*Arguments], T],
    *arguments: *Arguments,
) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, call, *arguments)
