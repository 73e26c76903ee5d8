"""Why vectors may nearly be those of a model: another prompt, limit, precision or revision."""

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

# What libraries and model cards cut at, and the prompts that models were trained with most.
_LIMITS = (64, 100, 128, 192, 200, 256, 300, 384, 500, 512, 1024, 2048)
_PROMPTS = ("", "passage: ", "query: ", "search_document: ", "title: none | text: ")
# Enough: vectors of another prompt or limit never agree by chance.
_TRIED = 16
_EXPLAINED = 0.9


async def explain(model: LoadedModel, sample: TableSample, match: Match) -> list[str]:
    """What differs, tried out, else what it can be where they are near; none for another model."""
    found = await _limit(model, sample, match)
    if found is None and match.share_of(~match.cut) < _EXPLAINED:
        found = await _prompt(model, sample, match)
    if found is not None:
        return [found]
    if not match.is_near:
        return []
    short = match.share_of(~match.cut)
    if match.cut_elsewhere and short >= match.bounds.least_share:
        return [_longer_limit(model, match)]
    if match.median >= match.bounds.least_cosine:
        return [_stale(match)]
    return [
        "what may differ: the prompt put before each text, the limit at which texts were cut, the"
        " precision (int8, say), another revision of the model or one trained further"
    ]


async def _limit(model: LoadedModel, sample: TableSample, match: Match) -> str | None:
    """A shorter limit than the model's, by which the longer texts match too."""
    limit = model.space.max_tokens
    prompt = model.description.document_prompt.text
    least = model.tokenizer.overhead(prompt) + chunking.MIN_CONTENT_TOKENS
    for size in _LIMITS:
        if size < least or (limit is not None and size >= limit):
            continue
        longer = match.differs & (match.tokens > size)
        if longer.sum() < 0.5 * match.differs.sum():
            return None  # what differs is not length
        cosines = await _tried(model, sample, longer, chunking.Chunking("none", size), prompt)
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
        cosines = await _tried(model, sample, rows, chunking.Chunking("none"), prompt)
        if _agree(match, cosines):
            option = f"--document-prompt {shlex.quote(prompt)}"
            return (
                f"the vectors were made with the prompt {prompt!r}, this model has {own!r}: "
                + _add_as(model, option, "-prompted")
            )
    return None


async def _tried(
    model: LoadedModel,
    sample: TableSample,
    rows: NDArray[np.bool_],
    cutting: chunking.Chunking,
    prompt: str,
) -> NDArray[np.float64]:
    """Cosines of some of the rows, embedded in another way."""
    chosen = np.flatnonzero(rows)[:_TRIED]
    texts = [sample.rows[no].text or "" for no in chosen]
    prepared = await asyncio.to_thread(
        chunking.prepare, texts, model.tokenizer, cutting, prompt=prompt
    )
    made = await matching.vectors_of(model, prepared)
    return cast("NDArray[np.float64]", (sample.vectors[chosen] * made).sum(axis=1))


def _agree(match: Match, cosines: NDArray[np.float64]) -> bool:
    known = cosines[~np.isnan(cosines)]
    return len(known) > 0 and float((known >= match.bounds.least_cosine).mean()) >= _EXPLAINED


def _longer_limit(model: LoadedModel, match: Match) -> str:
    positions = model.description.modules[0].parameters.get("positions")
    over, limit = match.cut & match.compared, model.space.max_tokens or 0
    said = (
        f"texts of up to {limit} tokens match ({match.share_of(~match.cut):.1%} of"
        f" {int((match.compared & ~over).sum())}), the {int(over.sum())} longer ones don't: they"
        " were embedded with a longer limit"
    )
    if isinstance(positions, int) and positions <= limit:
        return f"{said} than this model has positions for, or in parts"
    if isinstance(positions, int):
        return f"{said}: " + _add_as(model, f"--max-tokens {positions}", f"-{positions}")
    return f"{said}: " + _add_as(model, "--max-tokens TOKENS", "-longer")


def _stale(match: Match) -> str:
    return (
        f"most rows match, {int(match.differs.sum())} of {int(match.compared.sum())} don't, be"
        " they long or short: their texts were changed after they were embedded, or it was another"
        " model. Embed them again where they come from; or take the table with such rows, of which"
        " those in the sample are embedded again here: --least-share, with a larger --sample"
    )


def _add_as(model: LoadedModel, option: str, suffix: str) -> str:
    described = model.description
    is_bundled = described.directory == sources.bundled()
    source = "bundled" if is_bundled else str(described.directory)
    name = (sources.BUNDLED if is_bundled else described.directory.name) + suffix
    return (
        f"`vecmark models add {shlex.quote(source)} --name {shlex.quote(name)} {option}`, then"
        f" adopt with --model {shlex.quote(name)}"
    )
