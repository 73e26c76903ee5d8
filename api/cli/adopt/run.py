"""The steps of an adoption: read the table, compare models, create the collection."""

import asyncio
import contextlib
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from api import lifespan, logs, model_settings
from api.cli import output, progress
from api.cli.adopt.report import AdoptReport, Request
from api.http import bodies
from api.services import documents
from api.settings import Settings
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

_NAMES = 10


async def adopt(settings: Settings, request: Request, report: AdoptReport) -> None:
    """Raises AdoptionRefused, SourceUnusable, EmbeddingError, LoadRefused."""
    logs.configure(settings.log_level)
    bounds = matching.Bounds(request.least_cosine, request.least_share)
    async with contextlib.AsyncExitStack() as stack:
        engine = await stack.enter_async_context(lifespan.open_store(settings, output.step))
        await importing.require_free(engine, request.collection)
        url = request.source or engine.url.render_as_string(hide_password=False)
        source = await stack.enter_async_context(source_connections.connect(url))
        options = model_settings.from_settings(settings)
        models = await asyncio.to_thread(_find_candidates, options, request.claimed)
        table, sample = await _read_sample(settings, request, source, report)
        judge = await stack.enter_async_context(Judge(engine, options, bounds))
        match = await _find_match(judge, models, sample, report)
        await _report_other_matches(engine, match, report)
        if not await judge.is_findable(match.candidate):
            raise errors.AdoptionRefused(_explain_unfindable(match.candidate, options))
        if request.dry_run:
            report.show_dry_run()
            return
        creation = _Creation(settings, request, engine, report)
        await creation.run(source, table, judge, match)


def _find_candidates(options: ModelSettings, claimed: Sequence[str]) -> list[Candidate]:
    return candidates.claimed(options, claimed) if claimed else candidates.available(options)


async def _read_sample(
    settings: Settings, request: Request, source: Connection, report: AdoptReport
) -> tuple[SourceTable, TableSample]:
    columns = source_tables.TableColumns(
        table=request.table,
        id_column=request.id_column,
        text_column=request.text_column,
        embedding_column=request.embedding_column,
        metadata_columns=request.metadata_columns,
    )
    max_chars = settings.max_text_chars
    table = await source_tables.find(source, columns)
    counts = await source_rows.count(source, table)
    sampled = await source_rows.sample(source, table, request.sample, max_chars=max_chars)
    sample = matching.sampled(sampled, table.dimensions, max_chars=max_chars)
    report.show_table(table, counts, sample)
    if not sample.rows:
        raise errors.AdoptionRefused(
            f"{table.label} has no row with a text and a vector that can be compared"
        )
    return table, sample


async def _find_match(
    judge: Judge, models: Sequence[Candidate], sample: TableSample, report: AdoptReport
) -> Match:
    """The best match. Raises AdoptionRefused with what may differ."""
    verdicts = []
    for candidate in models:
        title = f"Embedding again with {candidate.name}"
        with progress.show(title, len(sample.rows), quiet=report.quiet) as bar:
            verdicts.append(await judge.judge(candidate, sample, bar.advance))
    report.show_verdicts(verdicts)
    matches = [verdict.match for verdict in verdicts if verdict.match is not None]
    best = matching.best(matches)
    if best is not None:
        report.show_match(best, sample)
        return best
    nearest = max(matches, key=lambda match: match.median, default=None)
    if nearest is not None:
        report.show_attempt(nearest.candidate)
        report.hints = await judge.explain(nearest, sample)
    if nearest is None or not report.hints:
        raise errors.AdoptionRefused(_explain_no_match(verdicts, report.label))
    raise errors.AdoptionRefused(
        f"{nearest.candidate.name} nearly matches {report.label}, but not quite: "
        + "; ".join(report.hints)
    )


def _explain_no_match(verdicts: Sequence[AdoptionVerdict], label: str) -> str:
    names = ", ".join(verdict.candidate.name for verdict in verdicts[:_NAMES])
    more = f" and {len(verdicts) - _NAMES} more" if len(verdicts) > _NAMES else ""
    return (
        f"none of these models made the vectors of {label}: {names}{more}. Add the model"
        " that made them (`vecmark models add`), then adopt again with its name as --model"
    )


async def _report_other_matches(engine: AsyncEngine, match: Match, report: AdoptReport) -> None:
    """Report other models that match: already linked to the same space, or linkable."""
    others = [
        verdict.candidate
        for verdict in report.verdicts
        if verdict.match is not None and verdict.match.matches and verdict.match is not match
    ]
    async with engine.connect() as conn:
        for other in others:
            linked = await judging.is_linked(conn, match.candidate, other)
            report.show_other_match(other, linked=linked)


def _explain_unfindable(candidate: Candidate, options: ModelSettings) -> str:
    return (
        f"the vectors were made by {candidate.name}, but a service would not find its files in"
        f" {options}. Run `vecmark models add {candidate.name} --name NAME`, then adopt again"
    )


class _Creation:
    """Creates the collection of a table whose model is known."""

    def __init__(
        self, settings: Settings, request: Request, engine: AsyncEngine, report: AdoptReport
    ) -> None:
        self._settings = settings
        self._request = request
        self._engine = engine
        self._report = report

    async def run(self, source: Connection, table: SourceTable, judge: Judge, match: Match) -> None:
        report, max_chars = self._report, self._settings.max_text_chars
        model = await judge.open(match.candidate)
        space = await verification.accept(self._engine, model, model.description.options)
        evidence = judging.evidence(
            match, report.counts, source=table.label, claimed=self._request.claimed
        )
        target = importing.Target(
            name=self._request.collection,
            space_id=space.row.id,
            limits=rows.RowLimits(
                id_bytes=documents.MAX_ID_BYTES,
                text_chars=max_chars,
                metadata_depth=bodies.MAX_DEPTH,
            ),
            stale=report.stale_ids,
            cut_elsewhere=match.cut_elsewhere,
            evidence=evidence,
        )
        title = f"Adopting {table.label}"
        pages = source_rows.read_pages(source, table, max_chars=max_chars)
        with progress.show(title, report.counts.rows, quiet=report.quiet) as bar:
            async with contextlib.aclosing(pages):
                tally = await importing.run(self._engine, model, target, pages, bar.advance)
        report.show_result(space.row.fingerprint, evidence, tally)
