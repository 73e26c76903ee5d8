"""The results of an adoption: printed step by step, or as one JSON object at the end."""

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from api.cli import output, tables
from indexing.adoption import judging
from indexing.adoption.candidates import Candidate
from indexing.adoption.judging import AdoptionVerdict
from indexing.adoption.matching import Match, TableSample
from indexing.adoption.rows import Reason, RowTally
from storage.adoption.source_rows import TableCounts
from storage.adoption.source_tables import SourceTable


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """The command's options; `claimed`: models to compare with, empty for all available ones."""

    collection: str
    table: str
    id_column: str
    text_column: str
    embedding_column: str
    metadata_columns: tuple[str, ...] = ()
    claimed: tuple[str, ...] = ()
    source: str | None = None
    sample: int = 200
    least_cosine: float = 0.999
    least_share: float = 0.99
    dry_run: bool = False


_STALE_EXAMPLES = 20
_OTHER_NAMES = 5

# What each reason of `indexing.adoption.rows` means.
_LEFT_OUT = {
    "no id": "the id is NULL or empty",
    "id too long": "the id is longer than 512 bytes",
    "id twice": "another row has the same id, and was read first",
    "no text": "the text is NULL, empty or only white space",
    "text too long": "the text is longer than VECMARK_MAX_TEXT_CHARS",
    "no words": "the model finds no token in the text",
    "metadata too deep": "the metadata is nested too deeply",
}
_PENDING = {
    "no vector": "the vector is NULL",
    "vector without direction": "the vector is zero or not finite",
    "other dimensions": "the vector has other dimensions",
    "stale": "the vector belongs to another text",
    "cut elsewhere": "the text exceeds the model's limit and was embedded with another limit",
}


class AdoptReport:
    """Collects the results of each step and prints them, unless `quiet`."""

    def __init__(self, request: Request, *, quiet: bool) -> None:
        self.quiet = quiet
        self.hints: list[str] = []
        self.verdicts: Sequence[AdoptionVerdict] = ()
        self.counts = TableCounts(0, 0, 0)
        self.stale_ids: frozenset[str] = frozenset()
        self.label = request.table
        self._request = request
        self._results: dict[str, Any] = {"collection": None, "evidence": None, "imported": None}

    def as_json(self) -> dict[str, Any]:
        return {**self._results, "hints": self.hints}

    def _line(self, text: str) -> None:
        if not self.quiet:
            output.line(text)

    def show_table(self, table: SourceTable, counts: TableCounts, sample: TableSample) -> None:
        self.label, self.counts = table.label, counts
        self._results |= {
            "source": table.label,
            "type": table.embedding.type_name,
            "dimensions": sample.dimensions,
            "rows": counts.rows,
            "texts": counts.texts,
            "vectors": counts.vectors,
            "sampled": len(sample.rows),
            "left_out_of_sample": sample.left_out,
        }
        self._line(
            f"{table.label}: {output.count(counts.rows, 'row')}, {counts.vectors:,} with a vector"
            f" ({table.embedding.type_name}, {sample.dimensions} dimensions), {counts.texts:,} with"
            " a text"
        )
        rest = f", {sample.left_out} more have an unusable vector" if sample.left_out else ""
        self._line(f"Compared: {output.count(len(sample.rows), 'random row')}{rest}")

    def show_verdicts(self, verdicts: Sequence[AdoptionVerdict]) -> None:
        self.verdicts = verdicts
        self._results["candidates"] = [_as_json(verdict) for verdict in verdicts]
        if self.quiet:
            return
        columns = ("model", "dimensions", "median", "worst 5 %", "worst")
        bound = f">= {self._request.least_cosine:g}"
        rows = [_cells(verdict) for verdict in verdicts]
        tables.show((*columns, bound, "verdict"), rows, wide="model")
        for verdict in verdicts:
            if verdict.hint:
                output.line(f"{verdict.candidate.name}: {verdict.hint}", err=True)

    def show_attempt(self, candidate: Candidate) -> None:
        if not self.quiet:
            output.line(f"Trying other limits and prompts with {candidate.name} ...", err=True)

    def show_match(self, match: Match, sample: TableSample) -> None:
        """Name the model, and list the rows that differ."""
        described = match.candidate.described
        fingerprint = "" if described is None else described.space.fingerprint
        self._results["model"] = {"name": match.candidate.name, "space": fingerprint}
        self._line(f"The vectors were made by {match.candidate.name} ({fingerprint}).")
        differs = match.differs & ~match.cut if match.cut_elsewhere else match.differs
        rows = zip(sample.rows, match.cosines, differs, strict=True)
        stale = [(row.id or "", float(cosine)) for row, cosine, is_stale in rows if is_stale]
        stale.sort(key=lambda pair: pair[1])
        self.stale_ids = frozenset(id_ for id_, _ in stale)
        self._results["stale"] = [{"id": id_, "cosine": round(cosine, 6)} for id_, cosine in stale]
        self._results["cut_elsewhere"] = match.cut_elsewhere
        self._show_stale(match, stale)

    def _show_stale(self, match: Match, stale: Sequence[tuple[str, float]]) -> None:
        if stale:
            examples = ", ".join(f"{id_} ({cosine:.3f})" for id_, cosine in stale[:_STALE_EXAMPLES])
            rest = len(stale) - _STALE_EXAMPLES
            more = f" and {rest} more" if rest > 0 else ""
            self._line(
                f"Stale: {output.count(len(stale), 'row')} of the sample, with the vector of"
                f" another text; the service embeds them again: {examples}{more}"
            )
        if match.cut_elsewhere:
            self._line(
                "Texts longer than the model's limit were embedded with another limit: the service"
                " embeds all of them again."
            )
        if judging.is_whole(match, self.counts):
            self._line("Every row with a text and a vector was compared.")
        else:
            bound = output.percent(judging.bound(match, self.counts))
            self._line(
                f"{self.counts.vectors - len(match.cosines):,} rows were not compared: up to"
                f" {bound} of them may keep the vector of another text (95 % confidence)."
            )

    def show_other_match(self, candidate: Candidate, *, linked: bool) -> None:
        matching_too = self._results.setdefault("matching_too", [])
        matching_too.append({"name": candidate.name, "linked": linked})
        if linked:
            self._line(f"{candidate.name} also matches: it is linked to the same space.")
        else:
            space = self._results["model"]["space"]
            self._line(
                f"{candidate.name} also matches, as a separate space; if it is the same model,"
                f" `vecmark models link {shlex.quote(candidate.name)} {space}` records that."
            )

    def show_dry_run(self) -> None:
        self._line("Nothing was created (--dry-run).")

    def show_result(self, space: str, evidence: Mapping[str, object], tally: RowTally) -> None:
        name = self._request.collection
        pending, left_out = sum(tally.pending.values()), sum(tally.left_out.values())
        self._results |= {
            "collection": name,
            "evidence": evidence,
            "imported": {
                "space": space,
                "documents": tally.taken,
                "with_vector": tally.taken - pending,
                "pending": dict(tally.pending),
                "left_out": dict(tally.left_out),
                "examples": dict(tally.examples),
            },
        }
        self._line(
            f"Created the collection {name}: {output.count(tally.taken, 'document')},"
            f" {tally.taken - pending:,} with the table's vector, {pending:,} to be embedded,"
            f" {output.count(left_out, 'row')} left out."
        )
        self._show_reasons("To be embedded", _PENDING, tally.pending, tally)
        self._show_reasons("Left out", _LEFT_OUT, tally.left_out, tally)

    def _show_reasons(
        self, title: str, texts: Mapping[str, str], counts: Mapping[Reason, int], tally: RowTally
    ) -> None:
        for reason, count in counts.items():
            ids = tally.examples.get(reason, [])
            examples = f": {', '.join(ids)}" if ids else ""
            more = " ..." if count > len(ids) and ids else ""
            self._line(f"{title}: {count:,}, {texts[reason]}{examples}{more}")


def _cells(verdict: AdoptionVerdict) -> tuple[object, ...]:
    candidate, match = verdict.candidate, verdict.match
    name = ", ".join((candidate.name, *candidate.also[:_OTHER_NAMES]))
    if match is None:
        return (name, candidate.dimensions or "", "", "", "", "", verdict.outcome)
    quantiles = (f"{match.quantile(part):.6f}" for part in (0.5, 0.05, 0))
    return (name, candidate.dimensions, *quantiles, output.percent(match.share), verdict.outcome)


def _as_json(verdict: AdoptionVerdict) -> dict[str, Any]:
    candidate, match = verdict.candidate, verdict.match
    described = candidate.described
    fields: dict[str, Any] = {
        "model": candidate.name,
        "also": candidate.also,
        "space": None if described is None else described.space.fingerprint,
        "dimensions": candidate.dimensions,
        "verdict": verdict.outcome,
        "more": verdict.hint,
    }
    if match is not None:
        fields |= {
            "compared": int(np.count_nonzero(match.compared)),
            "median": match.median,
            "worst_5_percent": match.quantile(0.05),
            "worst": match.quantile(0),
            "share": match.share,
        }
    return fields
