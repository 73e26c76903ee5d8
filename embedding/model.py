import asyncio
import concurrent.futures
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar, TypeVarTuple

import numpy as np
from numpy.typing import NDArray

from embedding import errors
from embedding.canaries import check as canary_check
from embedding.encoders import devices, encoder
from embedding.encoders.encoder import Encoded, joined
from embedding.model_files import description, prompts
from embedding.model_files import space as model_space
from embedding.scheduling import executor
from embedding.scheduling.queue import Urgency
from embedding.text import chunking, reader, tokenizer

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

MAX_QUEUED_TOKENS = 300_000
# Queries have an encoder of their own: one that waits for others' texts would not be served soon.
# So only what is soon done goes there.
_FEW_ROWS = 4
_QUERY_TOKENS = 1024
_SHORT_TOKENS = 64
# Each with its string and offsets: the answer is many times the text.
_TOKENIZE_CHARS = 200_000
# Chunks of one call that wait at once, as a part of what may wait.
_PART = 4


@dataclass(frozen=True)
class ModelStatus:
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
        tokenizer: tokenizer.Tokenizer,
        build: Mapping[str, model_space.Json],
        *,
        max_queued_tokens: int = MAX_QUEUED_TOKENS,
    ) -> None:
        self.description = model
        self.tokenizer = tokenizer
        self.build = build
        self.dtype = encodes.dtype
        self._encoder = encodes
        self._check = check
        self._reader = reader.Reader(model, tokenizer)
        self._text_threads = concurrent.futures.ThreadPoolExecutor(
            max(1, devices.cpu_count() // 2), "tokenize"
        )
        self._executor = executor.Executor(
            encodes,
            dimensions=model.space.dimensions,
            sound=check.rows[canary_check.QUICK[0]],
            capacity=max_queued_tokens,
        )
        self._admission = self._executor.admission

    @property
    def space(self) -> model_space.Space:
        return self.description.space

    @property
    def reference(self) -> NDArray[np.float32]:
        """The canaries' torch fp32 vectors, (canaries, dimensions)."""
        return self._check.reference

    def prompt_queries(self, prompt: str) -> None:
        """Put another prompt before queries from now on; the space stays what it is."""
        found = prompts.Prompt(prompt, "set for the space")
        self.description = replace(self.description, query_prompt=found)
        self._reader = reader.Reader(self.description, self.tokenizer)

    def status(self) -> ModelStatus:
        load = self._admission
        return ModelStatus(load.waiting, load.capacity, load.rate, self._executor.problem)

    def require_room(self) -> None:
        """Raises Overloaded where no more texts are taken at present."""
        self._admission.require_room()

    async def encode_texts(
        self,
        texts: Sequence[str],
        *,
        role: reader.Role = "document",
        truncate: bool = False,
        urgency: Urgency | None = None,
    ) -> Encoded:
        """The vectors in the order given, with the prompt of `role`.

        Raises NoTokens and TextTooLong (where not `truncate`) with the text's index, TooMuch,
        Overloaded, EncoderDied, EncoderFailed.
        """
        # Of a text that must not be cut all is counted, to say how long it is.
        estimate = self._reader.estimate(texts, whole=not truncate)
        if urgency is None:
            urgency = self._urgency(len(texts), estimate, role)
        read = functools.partial(self._reader.read, texts, role, truncate=truncate)
        short = sum(map(len, texts)) <= tokenizer.HOLDING_CHARS
        return await self._admitted(estimate, read, urgency, short=short)

    async def encode_ids(
        self, given: Sequence[Sequence[int]], *, truncate: bool = False
    ) -> Encoded:
        """Rows of ids exactly as `tokenize` gives them; TokenIdsInvalid, and as `encode_texts`."""
        tokens = sum(map(len, given))
        read = functools.partial(self._reader.take, given, truncate=truncate)
        urgency = self._urgency(len(given), tokens, "document")
        return await self._admitted(tokens, read, urgency, short=tokens <= _SHORT_TOKENS)

    async def encode_query(self, text: str) -> Encoded:
        """One vector, (1, dimensions), with the query prompt, of the beginning of a long text.

        Raises NoTokens, TextFailed, Overloaded, EncoderDied, EncoderFailed.
        """
        encoded = await self.encode_texts(
            [text], role="query", truncate=True, urgency=Urgency.QUERY
        )
        if encoded.failures:
            raise errors.TextFailed(f"the query has no vector: {encoded.failures[0]}")
        return encoded

    async def encode_chunks(
        self, chunks: Sequence[chunking.Chunk], urgency: Urgency = Urgency.WRITE
    ) -> Encoded:
        """The vectors in the order given, as soon as there is room; EncoderFailed, EncoderDied."""
        parts = _parts(chunks, self._admission.capacity // _PART)
        return joined([await self._waited(part, urgency) for part in parts])

    async def tokenize(
        self, texts: Sequence[str], *, role: reader.Role = "document"
    ) -> list[reader.Tokenized]:
        """Whole texts as the encoder would see them; TooMuch."""
        chars = sum(map(len, texts))
        if chars > _TOKENIZE_CHARS:
            raise errors.TooMuch(self._reader.estimate(texts, whole=True), _TOKENIZE_CHARS // 4)
        admitted = min(chars, self._admission.capacity)
        self._admission.admit(admitted)
        try:
            return await _on(self._text_threads, self._reader.tokenize, texts, role)
        finally:
            self._admission.release(admitted)

    async def prepare(
        self, texts: Sequence[str], chunking_: chunking.Chunking
    ) -> list[chunking.Prepared | errors.NoTokens]:
        """Texts to chunks, with the document prompt; ChunkingInvalid."""
        return await _on(self._text_threads, self.prepare_now, texts, chunking_)

    def prepare_now(
        self, texts: Sequence[str], chunking_: chunking.Chunking
    ) -> list[chunking.Prepared | errors.NoTokens]:
        """The same on the calling thread, which it holds for about a second per megabyte."""
        prompt = self.description.document_prompt.text
        return chunking.prepare(texts, self.tokenizer, chunking_, prompt=prompt)

    async def encode_canaries(
        self, which: Sequence[int] = canary_check.ALL, *, alone: bool = False
    ) -> NDArray[np.float32]:
        """Canaries as documents, in padded batches or each alone; NaN for those that fail."""
        return await asyncio.to_thread(self._check.vectors, self._encoder, which, alone=alone)

    async def check_canaries(
        self,
        which: Sequence[int] = canary_check.ALL,
        *,
        reference: NDArray[np.float32] | None = None,
    ) -> canary_check.CanaryReport:
        """Compare the encoder with `reference`, the vectors of all canaries.

        None: those of the conversion.
        """
        batched = await self.encode_canaries(which)
        # One at a time: if the model already serves, its queries get their turn in between.
        alone = [await self.encode_canaries([no], alone=True) for no in which]
        return self._check.report(
            which, batched=batched, alone=np.concatenate(alone), reference=reference
        )

    def close(self) -> None:
        """Stop the threads and free the model; blocks until running batches are done."""
        self._text_threads.shutdown(cancel_futures=True)
        self._executor.close()

    async def _admitted(
        self,
        estimate: int,
        read: Callable[[], reader.Rows],
        urgency: Urgency,
        *,
        short: bool,
    ) -> Encoded:
        """Read and encode, refused by an estimate before anything is read."""
        is_query = urgency is Urgency.QUERY
        room = self._executor.query_admission if is_query else self._admission
        if estimate // 2 > room.capacity:
            raise errors.TooMuch(estimate, room.capacity)
        admitted = min(estimate, room.capacity)
        room.admit(admitted)
        try:
            # A change of threads costs more than reading a few words.
            rows = read() if short else await _on(self._text_threads, read)
            tokens = sum(rows.tokens)
            if tokens > room.capacity:
                raise errors.TooMuch(tokens, room.capacity)
            room.correct(admitted, tokens)
            admitted = tokens
            return await self._encode(rows, urgency)
        finally:
            room.release(admitted)

    async def _waited(self, chunks: Sequence[chunking.Chunk], urgency: Urgency) -> Encoded:
        prompt = self.description.document_prompt.text
        rows = reader.Rows(
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

    def _urgency(self, texts: int, tokens: int, role: reader.Role) -> Urgency:
        if texts > _FEW_ROWS:
            return Urgency.WRITE
        if role == "query" and tokens <= _QUERY_TOKENS:
            return Urgency.QUERY
        # A single short text is most likely a query of a client that knows no roles.
        soon = tokens <= _SHORT_TOKENS and self._executor.queries_idle
        return Urgency.QUERY if soon else Urgency.WRITE

    async def _encode(self, rows: reader.Rows, urgency: Urgency) -> Encoded:
        vectors = np.empty((0, self.space.dimensions), np.float32)
        failures: Mapping[int, str] = {}
        if rows.ids:
            job = await self._executor.run(rows.ids, urgency, pooled_from=rows.pooled_from)
            vectors, failures = job.vectors, job.failures
        return Encoded(self.space.fingerprint, vectors, failures, rows.tokens, rows.cut)


def _parts(chunks: Sequence[chunking.Chunk], tokens: int) -> Iterator[Sequence[chunking.Chunk]]:
    """All chunks in their order, in parts of about so many tokens."""
    start = size = 0
    for no, chunk in enumerate(chunks):
        if size and size + len(chunk.ids) > tokens:
            yield chunks[start:no]
            start, size = no, 0
        size += len(chunk.ids)
    yield chunks[start:]


async def _on(
    threads: concurrent.futures.ThreadPoolExecutor,
    call: Callable[[*Arguments], T],
    *arguments: *Arguments,
) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, call, *arguments)
