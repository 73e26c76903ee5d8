"""A loaded model: its tokenizer, its encoder, and the threads of both, behind one interface."""

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
from embedding.encoders import encoder as encoding
from embedding.encoders.encoder import Encoded
from embedding.model_files import description, prompts
from embedding.model_files import space as model_space
from embedding.scheduling import executor
from embedding.scheduling.queue import Urgency
from embedding.text import chunking, reader
from embedding.text import tokenizer as text_tokenizer
from host import cpu

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

MAX_QUEUED_TOKENS = 300_000
# Queries have their own encoder. Only short work goes there, so that no query waits long for
# somebody else's texts.
_FEW_ROWS = 4
_QUERY_TOKENS = 1024
_SHORT_TOKENS = 64
# Every token comes with its string and offsets, so the answer is many times as long as the text.
_TOKENIZE_CHARS = 200_000
# The chunks of one call that wait at once are at most this part of what may wait: a quarter.
_SHARE = 4


@dataclass(frozen=True)
class ModelStatus:
    """How busy a model is; `problem` says why it can't encode, None if it can."""

    waiting_tokens: int
    capacity: int
    tokens_per_second: float
    problem: str | None


class LoadedModel:
    """A model ready to encode, with its threads; `close` it when no call is running.

    Its coroutines are called from one event loop. Cancelling a call takes its texts out of the
    queue.
    """

    def __init__(
        self,
        model: description.ModelDescription,
        encoder: encoding.Encoder,
        check: canary_check.Check,
        tokenizer: text_tokenizer.Tokenizer,
        build: Mapping[str, model_space.Json],
        *,
        max_queued_tokens: int = MAX_QUEUED_TOKENS,
    ) -> None:
        self.description = model
        self.tokenizer = tokenizer
        self.build = build
        self.dtype = encoder.dtype
        self._encoder = encoder
        self._check = check
        self._reader = reader.Reader(model, tokenizer)
        self._text_threads = concurrent.futures.ThreadPoolExecutor(
            max(1, cpu.count() // 2), "tokenize"
        )
        self._executor = executor.Executor(
            encoder,
            dimensions=model.space.dimensions,
            probe_row=check.rows[canary_check.QUICK[0]],
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

    def set_query_prompt(self, text: str) -> None:
        """Use another prompt for queries from now on; the space stays the same."""
        prompt = prompts.Prompt(text, "set for the space")
        self.description = replace(self.description, query_prompt=prompt)
        self._reader = reader.Reader(self.description, self.tokenizer)

    def status(self) -> ModelStatus:
        load = self._admission
        return ModelStatus(load.waiting, load.capacity, load.rate, self._executor.problem)

    def require_room(self) -> None:
        """Raises Overloaded if no more texts are admitted now."""
        self._admission.require_room()

    async def encode_texts(
        self,
        texts: Sequence[str],
        *,
        role: reader.Role = "document",
        truncate: bool = False,
        urgency: Urgency | None = None,
    ) -> Encoded:
        """The vectors in the order of `texts`, encoded with the prompt of `role`.

        Raises NoTokens and TextTooLong (unless `truncate`) with the text's index, TooMuch,
        Overloaded, EncoderDied, EncoderFailed.
        """
        # A text that must not be truncated is counted completely, to say how long it is.
        estimate = self._reader.estimate(texts, truncate=truncate)
        if urgency is None:
            urgency = self._urgency(len(texts), estimate, role)
        read = functools.partial(self._reader.read, texts, role, truncate=truncate)
        short = sum(map(len, texts)) <= text_tokenizer.GIL_CHARS
        return await self._admit_and_encode(estimate, read, urgency, short=short)

    async def encode_ids(self, rows: Sequence[Sequence[int]], *, truncate: bool = False) -> Encoded:
        """Vectors of token ids as `tokenize` returns them.

        Raises TokenIdsInvalid, and what `encode_texts` does.
        """
        tokens = sum(map(len, rows))
        read = functools.partial(self._reader.read_ids, rows, truncate=truncate)
        urgency = self._urgency(len(rows), tokens, "document")
        return await self._admit_and_encode(tokens, read, urgency, short=tokens <= _SHORT_TOKENS)

    async def encode_query(self, text: str) -> Encoded:
        """One vector, (1, dimensions), with the query prompt; a long text is truncated.

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
        """The vectors in the order of `chunks`; waits for room. EncoderFailed, EncoderDied."""
        parts = _split(chunks, self._admission.capacity // _SHARE)
        return encoding.concatenate([await self._encode_part(part, urgency) for part in parts])

    async def tokenize(
        self, texts: Sequence[str], *, role: reader.Role = "document"
    ) -> list[reader.Tokenized]:
        """Complete texts as the encoder would see them; TooMuch, Overloaded."""
        chars = sum(map(len, texts))
        if chars > _TOKENIZE_CHARS:
            raise errors.TooMuch(self._reader.estimate(texts, truncate=False), _TOKENIZE_CHARS // 4)
        admitted = min(chars, self._admission.capacity)
        self._admission.admit(admitted)
        try:
            return await _run_on(self._text_threads, self._reader.tokenize, texts, role)
        finally:
            self._admission.release(admitted)

    async def prepare(
        self, texts: Sequence[str], chunking_: chunking.Chunking
    ) -> list[chunking.Prepared | errors.NoTokens]:
        """Cut texts into chunks, with the document prompt; ChunkingInvalid."""
        return await _run_on(self._text_threads, self.prepare_blocking, texts, chunking_)

    def prepare_blocking(
        self, texts: Sequence[str], chunking_: chunking.Chunking
    ) -> list[chunking.Prepared | errors.NoTokens]:
        """`prepare` on the calling thread: it blocks for about a second per megabyte."""
        prompt = self.description.document_prompt.text
        return chunking.prepare(texts, self.tokenizer, chunking_, prompt=prompt)

    async def encode_canaries(
        self, which: Sequence[int] = canary_check.ALL, *, alone: bool = False
    ) -> NDArray[np.float32]:
        """Vectors of canaries as documents, in padded batches or each alone; NaN for failures."""
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

    async def _admit_and_encode(
        self,
        estimate: int,
        read: Callable[[], reader.Rows],
        urgency: Urgency,
        *,
        short: bool,
    ) -> Encoded:
        """Read and encode; an estimate decides about admission before anything is read."""
        is_query = urgency is Urgency.QUERY
        room = self._executor.query_admission if is_query else self._admission
        if estimate // 2 > room.capacity:
            raise errors.TooMuch(estimate, room.capacity)
        admitted = min(estimate, room.capacity)
        room.admit(admitted)
        try:
            # Changing threads costs more than reading a few words.
            rows = read() if short else await _run_on(self._text_threads, read)
            tokens = sum(rows.tokens)
            if tokens > room.capacity:
                raise errors.TooMuch(tokens, room.capacity)
            room.correct(admitted, tokens)
            admitted = tokens
            return await self._encode(rows, urgency)
        finally:
            room.release(admitted)

    async def _encode_part(self, chunks: Sequence[chunking.Chunk], urgency: Urgency) -> Encoded:
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
        # A single short text is most likely the query of a client that doesn't set roles.
        fast = tokens <= _SHORT_TOKENS and self._executor.queries_idle
        return Urgency.QUERY if fast else Urgency.WRITE

    async def _encode(self, rows: reader.Rows, urgency: Urgency) -> Encoded:
        vectors = np.empty((0, self.space.dimensions), np.float32)
        failures: Mapping[int, str] = {}
        if rows.ids:
            job = await self._executor.run(rows.ids, urgency, pooled_from=rows.pooled_from)
            vectors, failures = job.vectors, job.failures
        return Encoded(self.space.fingerprint, vectors, failures, rows.tokens, rows.cut)


def _split(chunks: Sequence[chunking.Chunk], tokens: int) -> Iterator[Sequence[chunking.Chunk]]:
    """All chunks in their order, in parts of about `tokens` tokens."""
    start = size = 0
    for no, chunk in enumerate(chunks):
        if size and size + len(chunk.ids) > tokens:
            yield chunks[start:no]
            start, size = no, 0
        size += len(chunk.ids)
    yield chunks[start:]


async def _run_on(
    threads: concurrent.futures.ThreadPoolExecutor,
    call: Callable[[*Arguments], T],
    *arguments: *Arguments,
) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, call, *arguments)
