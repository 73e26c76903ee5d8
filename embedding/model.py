import asyncio
import concurrent.futures
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, TypeVarTuple

import numpy as np
from numpy.typing import NDArray

from embedding import (
    accelerator,
    batching,
    canaries,
    canary_check,
    chunking,
    conversion,
    conversion_cache,
    cpu,
    description,
    encoder,
    errors,
    openvino_encoder,
    spaces,
    static_encoder,
    tokenizing,
    torch_encoder,
)

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


@dataclass(frozen=True, eq=False)
class Encoded:
    """Vectors of one space, (n, dimensions): finite and of unit length, but for `failures`.

    `failures` says why, by place, for what the encoder gave no vector; these rows are NaN. `cut`:
    a query was longer than the limit, and only its beginning was read.
    """

    fingerprint: str
    vectors: NDArray[np.float32]
    failures: Mapping[int, str] = field(default_factory=dict)
    cut: bool = False


class LoadedModel:
    """A model ready to encode, with its threads; `close` it when no call is running."""

    def __init__(
        self,
        model: description.ModelDescription,
        encodes: encoder.Encoder,
        check: canary_check.Check,
        tokenizer: tokenizing.Tokenizer,
        build: Mapping[str, spaces.Json],
    ) -> None:
        self.description = model
        self.tokenizer = tokenizer
        self.build = build
        self.dtype = encodes.dtype
        self._encoder = encodes
        self._check = check
        self._query_thread = _threads("query", 1)
        self._bulk_threads = _threads("bulk", encodes.lanes)
        self._text_thread = _threads("tokenize", 1)

    @property
    def space(self) -> spaces.Space:
        return self.description.space

    @property
    def reference(self) -> NDArray[np.float32]:
        """The canaries' torch fp32 vectors, (canaries, dimensions)."""
        return self._check.reference

    async def encode_query(self, text: str) -> Encoded:
        """One vector, (1, dimensions), with the query prompt; NoTokens, EncoderFailed."""
        vectors, cut = await _on(self._query_thread, self._query, text)
        return Encoded(self.space.fingerprint, vectors, cut=cut)

    async def encode_chunks(self, chunks: Sequence[chunking.Chunk]) -> Encoded:
        """The vectors in the order given; EncoderFailed only where the encoder fails at all texts.

        Calls may overlap: their batches share the lanes.
        """
        rows = [chunk.ids for chunk in chunks]
        vectors = np.full((len(rows), self.space.dimensions), np.nan, np.float32)
        failures: dict[int, str] = {}
        batches = batching.plan(
            [len(row) for row in rows],
            batch_tokens=self._encoder.batch_tokens,
            max_rows=self._encoder.batch_rows,
        )
        encoded = await asyncio.gather(
            *(_on(self._bulk_threads, self._bulk, [rows[no] for no in batch]) for batch in batches)
        )
        for batch, (found, failed) in zip(batches, encoded, strict=True):
            for place, no in enumerate(batch):
                if place in failed:
                    failures[no] = failed[place]
                else:
                    vectors[no] = found[place]
        return Encoded(self.space.fingerprint, vectors, failures)

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
        thread = self._query_thread if alone else self._bulk_threads
        return await _on(thread, self._canaries, which, alone)

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
        for threads in (self._query_thread, self._bulk_threads, self._text_thread):
            threads.shutdown(cancel_futures=True)
        self._encoder.close()

    def _query(self, text: str) -> tuple[NDArray[np.float32], bool]:
        prompt = self.description.query_prompt.text
        limit = self.tokenizer.limit
        cut = False
        if limit is None:
            tokens = self.tokenizer.encode(text, prompt)
        else:
            beginning = self.tokenizer.beginning(text, prompt, limit)
            tokens, cut = beginning.tokens, beginning.cut
        if tokens.own <= 0:
            raise errors.NoTokens("the query has no token that carries content; give it some words")
        return encoder.unit(self._encoder.query([tokens.ids], self._pooled_from(prompt))), cut

    def _bulk(self, rows: encoder.Rows) -> tuple[list[encoder.Vectors], dict[int, str]]:
        vectors, failures = encoder.isolate(self._bulk_run, rows)
        if failures:
            # A text that fails alone is that text's failure only if the encoder still works.
            sound = self._check.rows[canaries.QUICK[0]]
            encoder.unit(self._bulk_run([sound]))
        return vectors, failures

    def _bulk_run(self, rows: encoder.Rows) -> encoder.Vectors:
        prompt = self.description.document_prompt.text
        return self._encoder.bulk(rows, self._pooled_from(prompt))

    def _pooled_from(self, prompt: str) -> int:
        return 0 if self.space.include_prompt else self.tokenizer.pooled_from(prompt)

    def _canaries(self, which: Sequence[int], alone: bool) -> NDArray[np.float32]:
        return self._check.vectors(self._encoder, which, alone=alone)


async def _on(
    threads: concurrent.futures.ThreadPoolExecutor,
    call: Callable[[*Arguments], T],
    *arguments: *Arguments,
) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, call, *arguments)


def load(
    model: description.ModelDescription, *, cache_dir: Path, device: str = "auto"
) -> LoadedModel:
    """Load a model, converting it first where the cache lacks it (many seconds); blocks.

    CanaryMoved where no encoder gives sentence-transformers' vectors, EncoderFailed, ModelInvalid.
    """
    if model.space.precision != "float":
        raise errors.ModelRefused(
            f"{model.name}: the precision {model.space.precision} is not served"
        )
    chosen = accelerator.choose(device)
    entry, result = conversion_cache.ensure(model, cache_dir=cache_dir, device=chosen)
    tokenizer = tokenizing.load(model)
    check = canary_check.Check(tokenizer, model, np.load(entry / conversion.REFERENCE))
    encodes = _encoder(model, result, entry, chosen)
    return LoadedModel(model, encodes, check, tokenizer, _build(model, result, chosen))


def _encoder(
    model: description.ModelDescription, result: conversion.Result, entry: Path, device: str
) -> encoder.Encoder:
    if result.backend == "openvino":
        limit = model.space.max_tokens
        return openvino_encoder.OpenVINOEncoder(entry, dtype=result.dtype, limit=limit)
    if result.backend == "static":
        return static_encoder.load(model)
    return torch_encoder.TorchEncoder(model, device=device, dtype=result.dtype)


def _build(
    model: description.ModelDescription, result: conversion.Result, device: str
) -> dict[str, spaces.Json]:
    """What made the vectors, beside the space: equal builds need no second full check."""
    return {
        "backend": result.backend,
        "dtype": result.dtype,
        "device": device,
        "cpu": cpu.kind(),
        "versions": conversion.versions(),
        "converted_with": result.versions,
        "query_prompt": model.query_prompt.text,
        "reason": result.reason,
        "checks": result.checks,
    }


def _threads(name: str, count: int) -> concurrent.futures.ThreadPoolExecutor:
    return concurrent.futures.ThreadPoolExecutor(count, thread_name_prefix=name)
