"""Why vectors match a model only nearly: another prompt, limit, precision or revision."""

import asyncio
import shlex
from typing import cast

import numpy as np
from numpy.typing import NDArray

from embedding.model import LoadedModel
from embedding.registry import sources
from embedding.text import chunking
from indexing.adoption import matching
from indexing.adoption.matching import Match, TableSample

# Limits found in libraries and model cards, and the prompts that most models were trained with.
_LIMITS = (64, 100, 128, 192, 200, 256, 300, 384, 500, 512, 1024, 2048)
_PROMPTS = ("", "passage: ", "query: ", "search_document: ", "title: none | text: ")
# Enough: vectors of another prompt or limit never match by chance.
_TRIED_ROWS = 16
_EXPLAINED = 0.9


async def explain(model: LoadedModel, sample: TableSample, match: Match) -> list[str]:
    """What differs, found by trying, or else what may differ; empty if it is another model."""
    difference = await _limit(model, sample, match)
    if difference is None and match.share_of(~match.cut) < _EXPLAINED:
        difference = await _prompt(model, sample, match)
    if difference is not None:
        return [difference]
    if not match.is_near:
        return []
    if match.cut_elsewhere and match.share_of(~match.cut) >= match.bounds.least_share:
        return [_longer_limit(model, match)]
    if match.median >= match.bounds.least_cosine:
        return [_stale(match)]
    return [
        "what may differ: the prompt put before each text, the limit at which texts were cut, the"
        " precision (such as int8), the revision of the model, or further training"
    ]


async def _limit(model: LoadedModel, sample: TableSample, match: Match) -> str | None:
    """A shorter limit than the model's, with which the longer texts match too."""
    limit = model.space.max_tokens
    prompt = model.description.document_prompt.text
    least = model.tokenizer.overhead(prompt) + chunking.MIN_CONTENT_TOKENS
    for size in _LIMITS:
        if size < least or (limit is not None and size >= limit):
            continue
        longer = match.differs & (match.tokens > size)
        if longer.sum() < 0.5 * match.differs.sum():
            return None  # what differs is not length
        cosines = await _try_chunking(
            model, sample, longer, chunking.Chunking("none", size), prompt
        )
        if _agree(match, cosines):
            return (
                f"the texts that differ were cut at {size} tokens, this model reads"
                f" {'all' if limit is None else limit}: "
                + _add_as(model, f"--max-tokens {size}", f"-{size}")
            )
    return None


async def _prompt(model: LoadedModel, sample: TableSample, match: Match) -> str | None:
    if not model.space.include_prompt:
        return None
    own = model.description.document_prompt.text
    prompts = dict.fromkeys((*_PROMPTS[:1], model.description.query_prompt.text, *_PROMPTS[1:]))
    for prompt in prompts:
        if prompt == own:
            continue
        rows = match.differs & ~match.cut
        cosines = await _try_chunking(model, sample, rows, chunking.Chunking("none"), prompt)
        if _agree(match, cosines):
            option = f"--document-prompt {shlex.quote(prompt)}"
            return (
                f"the vectors were made with the prompt {prompt!r}, this model has {own!r}: "
                + _add_as(model, option, "-prompted")
            )
    return None


async def _try_chunking(
    model: LoadedModel,
    sample: TableSample,
    rows: NDArray[np.bool_],
    cutting: chunking.Chunking,
    prompt: str,
) -> NDArray[np.float64]:
    """Cosines of some of the rows, embedded with another chunking and prompt."""
    numbers = np.flatnonzero(rows)[:_TRIED_ROWS]
    texts = [sample.rows[no].text or "" for no in numbers]
    prepared = await asyncio.to_thread(
        chunking.prepare, texts, model.tokenizer, cutting, prompt=prompt
    )
    vectors = await matching.vectors_of(model, prepared)
    return cast("NDArray[np.float64]", (sample.vectors[numbers] * vectors).sum(axis=1))


def _agree(match: Match, cosines: NDArray[np.float64]) -> bool:
    computed = cosines[~np.isnan(cosines)]
    return len(computed) > 0 and float((computed >= match.bounds.least_cosine).mean()) >= _EXPLAINED


def _longer_limit(model: LoadedModel, match: Match) -> str:
    positions = model.description.modules[0].parameters.get("positions")
    over, limit = match.cut & match.compared, model.space.max_tokens or 0
    difference = (
        f"texts of up to {limit} tokens match ({match.share_of(~match.cut):.1%} of"
        f" {int((match.compared & ~over).sum())}), the {int(over.sum())} longer ones don't: they"
        " were embedded with a longer limit"
    )
    if isinstance(positions, int) and positions <= limit:
        return f"{difference} than this model has positions for, or in parts"
    if isinstance(positions, int):
        return f"{difference}: " + _add_as(model, f"--max-tokens {positions}", f"-{positions}")
    return f"{difference}: " + _add_as(model, "--max-tokens TOKENS", "-longer")


def _stale(match: Match) -> str:
    return (
        f"most rows match, {int(match.differs.sum())} of {int(match.compared.sum())} don't, long"
        " or short: their texts were changed after they were embedded, or another model embedded"
        " them. Embed them again in the source; or adopt the table as it is with a lower"
        " --least-share and a larger --sample: such rows in the sample are embedded again here"
    )


def _add_as(model: LoadedModel, option: str, suffix: str) -> str:
    described = model.description
    is_bundled = described.directory == sources.bundled_directory()
    source = "bundled" if is_bundled else str(described.directory)
    name = (sources.BUNDLED if is_bundled else described.directory.name) + suffix
    return (
        f"`vecmark models add {shlex.quote(source)} --name {shlex.quote(name)} {option}`, then"
        f" adopt with --model {shlex.quote(name)}"
    )
