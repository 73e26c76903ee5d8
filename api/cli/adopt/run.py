"""The steps of an adoption: the table is read, models are compared, the collection is made."""

import asyncio
import contextlib
import sys
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from api import lifespan, logs, model_settings, settings
from api.cli import output, progress
from api.cli.adopt.report import AdoptReport, Request
from api.http import bodies
from api.services import documents
from embedding.loading import ModelSettings
from indexing import errors
from indexing.adoption import candidates, importing, judging, matching, rows
from indexing.adoption.candidates import Candidate
from indexing.adoption.judging import AdoptionVerdict, Judge
from indexing.adoption.matching import Match, TableSample
from indexing.models import verification
from storage.adoption import source_connections, source_rows, source_tables
from storage.adoption.source_connections import Connection
from storage.adoption.source_tables import SourceTable

_NAMED = 10


async def adopt(chosen: settings.Settings, asked: Request, told: AdoptReport) -> None:
    """Raises AdoptionRefused, SourceUnusable, EmbeddingError, LoadRefused."""
    logs.configure(chosen.log_level)
    bounds = matching.Bounds(asked.least_cosine, asked.least_share)
    async with contextlib.AsyncExitStack() as stack:
        engine = await stack.enter_async_context(lifespan.open_store(chosen, _step))
        await importing.require_free(engine, asked.collection)
        url = asked.source or engine.url.render_as_string(hide_password=False)
        source = await stack.enter_async_context(source_connections.connect(url))
        where = model_settings.from_settings(chosen)
        models = await asyncio.to_thread(_candidates, where, asked.claimed)
        table, sample = await _read(chosen, asked, source, told)
        judge = await stack.enter_async_context(Judge(engine, where, bounds))
        match = await _judge(judge, models, sample, told)
        await _tell_others(engine, match, told)
        if not await judge.is_findable(match.candidate):
            raise errors.AdoptionRefused(_out_of_reach(match.candidate, where))
        if asked.dry_run:
            told.dry()
            return
        work = _Making(chosen, asked, engine, told)
        await work.make(source, table, judge, match)


def _candidates(where: ModelSettings, claimed: Sequence[str]) -> list[Candidate]:
    return candidates.claimed(where, claimed) if claimed else candidates.available(where)


async def _read(
    chosen: settings.Settings, asked: Request, source: Connection, told: AdoptReport
) -> tuple[SourceTable, TableSample]:
    wish = source_tables.TableColumns(
        table=asked.table,
        id_column=asked.id_column,
        text_column=asked.text_column,
        embedding_column=asked.embedding_column,
        metadata_columns=asked.metadata_columns,
    )
    table = await source_tables.find(source, wish)
    counts = await source_rows.count(source, table)
    found = await source_rows.sample(source, table, asked.sample, max_chars=chosen.max_text_chars)
    sample = matching.sampled(found, table.dimensions, max_chars=chosen.max_text_chars)
    told.read(table, counts, sample)
    if not sample.rows:
        raise errors.AdoptionRefused(
            f"{table.label} holds no row with a text and a vector that could be compared"
        )
    return table, sample


async def _judge(
    judge: Judge, models: Sequence[Candidate], sample: TableSample, told: AdoptReport
) -> Match:
    """The best match. Raises AdoptionRefused with what may differ."""
    verdicts = []
    for candidate in models:
        title = f"Embedding again with {candidate.name}"
        with progress.show(title, len(sample.rows), quiet=told.quiet) as bar:
            verdicts.append(await judge.judge(candidate, sample, bar.advance))
    told.judged(verdicts)
    matches = [verdict.match for verdict in verdicts if verdict.match is not None]
    best = matching.best(matches)
    if best is not None:
        told.chose(best, sample)
        return best
    nearest = max(matches, key=lambda one: one.median, default=None)
    if nearest is not None:
        told.tries(nearest.candidate)
        told.hints = await judge.explain(nearest, sample)
    if nearest is None or not told.hints:
        raise errors.AdoptionRefused(_strange(verdicts, told.label))
    raise errors.AdoptionRefused(
        f"{nearest.candidate.name} nearly makes the vectors of {told.label}, but not quite: "
        + "; ".join(told.hints)
    )


def _strange(verdicts: Sequence[AdoptionVerdict], label: str) -> str:
    named = ", ".join(verdict.candidate.name for verdict in verdicts[:_NAMED])
    more = f" and {len(verdicts) - _NAMED} more" if len(verdicts) > _NAMED else ""
    return (
        f"the vectors of {label} were made by none of these models: {named}{more}. Add the one that"
        " made them (`vecmark models add`) and adopt again, with its name as --model"
    )


async def _tell_others(engine: AsyncEngine, match: Match, told: AdoptReport) -> None:
    """Other models that match too: the same space by a link, or one that could be linked."""
    others = [
        verdict.candidate
        for verdict in told.verdicts
        if verdict.match is not None and verdict.match.matches and verdict.match is not match
    ]
    async with engine.connect() as conn:
        for other in others:
            linked = await judging.is_linked(conn, match.candidate, other)
            told.matches_too(other, linked=linked)


def _out_of_reach(candidate: Candidate, where: ModelSettings) -> str:
    return (
        f"the vectors are those of {candidate.name}, but a service would not find its files in"
        f" {where}. Run `vecmark models add {candidate.name} --name NAME`, then adopt again"
    )


class _Making:
    """Makes the collection of a table whose model is known."""

    def __init__(
        self, chosen: settings.Settings, asked: Request, engine: AsyncEngine, told: AdoptReport
    ) -> None:
        self._chosen = chosen
        self._asked = asked
        self._engine = engine
        self._told = told

    async def make(
        self, source: Connection, table: SourceTable, judge: Judge, match: Match
    ) -> None:
        told, limit = self._told, self._chosen.max_text_chars
        model = await judge.open(match.candidate)
        space = await verification.accept(self._engine, model, model.description.options)
        evidence = judging.evidence(
            match, told.counts, source=table.label, claimed=self._asked.claimed
        )
        target = importing.Target(
            name=self._asked.collection,
            space_id=space.row.id,
            limits=rows.RowLimits(
                id_bytes=documents.MAX_ID_BYTES, text_chars=limit, metadata_depth=bodies.MAX_DEPTH
            ),
            stale=told.stale_ids,
            cut_elsewhere=match.cut_elsewhere,
            evidence=evidence,
        )
        title = f"Adopting {table.label}"
        pages = source_rows.read_pages(source, table, max_chars=limit)
        with progress.show(title, told.counts.rows, quiet=told.quiet) as bar:
            async with contextlib.aclosing(pages):
                tally = await importing.run(self._engine, model, target, pages, bar.advance)
        told.made(space.row.fingerprint, evidence, tally)


def _step(step: str) -> None:
    if sys.stderr.isatty():
        output.line(step, err=True)
