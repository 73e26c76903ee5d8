"""What an adoption found and did: told step by step, or as one JSON object at its end."""

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from api.cli import output
from indexing.adoption import judging
from indexing.adoption.candidates import Candidate
from indexing.adoption.judging import AdoptionVerdict
from indexing.adoption.matching import Match, TableSample
from indexing.adoption.rows import RowTally
from storage.adoption.source_rows import TableCounts
from storage.adoption.source_tables import SourceTable


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What a person asks for; `claimed`: the models to compare with, all at hand without any."""

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


_SHOWN = 20
_FEW = 5

# What each reason of `indexing.adoption.rows` means.
_LEFT_OUT = {
    "no id": "the id is NULL or empty",
    "id too long": "the id is longer than 512 bytes",
    "id twice": "another row has the same id: the first one read was taken",
    "no text": "the text is NULL, empty or only white space",
    "text too long": "the text is longer than VECMARK_MAX_TEXT_CHARS",
    "no words": "the model reads nothing of the text",
    "metadata too deep": "the metadata is nested too deeply",
}
_PENDING = {
    "no vector": "the vector is NULL",
    "vector without direction": "the vector is zero or not finite",
    "other dimensions": "the vector has other dimensions",
    "stale": "the vector is not that of the text",
    "cut elsewhere": "the text is over the model's limit and was embedded with another one",
}


class AdoptReport:
    def __init__(self, asked: Request, *, quiet: bool) -> None:
        self.quiet = quiet
        self.hints: list[str] = []
        self.verdicts: Sequence[AdoptionVerdict] = ()
        self.counts = TableCounts(0, 0, 0)
        self.stale_ids: frozenset[str] = frozenset()
        self.label = asked.table
        self._asked = asked
        self._found: dict[str, Any] = {"collection": None, "evidence": None, "imported": None}

    def as_json(self) -> dict[str, Any]:
        return {**self._found, "hints": self.hints}

    def _line(self, text: str) -> None:
        if not self.quiet:
            output.line(text)

    def read(self, table: SourceTable, counts: TableCounts, sample: TableSample) -> None:
        self.label, self.counts = table.label, counts
        self._found |= {
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
        without = f", {sample.left_out} more have a vector that can't be" if sample.left_out else ""
        self._line(f"Compared: {output.count(len(sample.rows), 'random row')}{without}")

    def judged(self, verdicts: Sequence[AdoptionVerdict]) -> None:
        self.verdicts = verdicts
        self._found["candidates"] = [_as_json(verdict) for verdict in verdicts]
        if self.quiet:
            return
        columns = ("model", "dimensions", "median", "worst 5 %", "worst")
        bound = f">= {self._asked.least_cosine:g}"
        rows = [_cells(verdict) for verdict in verdicts]
        output.table((*columns, bound, "verdict"), rows, wide="model")
        for verdict in verdicts:
            if verdict.hint:
                output.line(f"{verdict.candidate.name}: {verdict.hint}", err=True)

    def tries(self, candidate: Candidate) -> None:
        if not self.quiet:
            output.line(f"Trying other limits and prompts with {candidate.name} ...", err=True)

    def chose(self, match: Match, sample: TableSample) -> None:
        """The model is known; rows that differ all the same are told."""
        described = match.candidate.described
        fingerprint = "" if described is None else described.space.fingerprint
        self._found["model"] = {"name": match.candidate.name, "space": fingerprint}
        self._line(f"The vectors are those of {match.candidate.name} ({fingerprint}).")
        differs = match.differs & ~match.cut if match.cut_elsewhere else match.differs
        pairs = zip(sample.rows, match.cosines, differs, strict=True)
        stale = [(row.id or "", float(cosine)) for row, cosine, other in pairs if other]
        stale.sort(key=lambda pair: pair[1])
        self.stale_ids = frozenset(id_ for id_, _ in stale)
        self._found["stale"] = [{"id": id_, "cosine": round(one, 6)} for id_, one in stale]
        self._found["cut_elsewhere"] = match.cut_elsewhere
        self._tell_stale(match, stale)

    def _tell_stale(self, match: Match, stale: Sequence[tuple[str, float]]) -> None:
        if stale:
            shown = ", ".join(f"{id_} ({cosine:.3f})" for id_, cosine in stale[:_SHOWN])
            more = f" and {len(stale) - _SHOWN} more" if len(stale) > _SHOWN else ""
            self._line(
                f"Stale: {output.count(len(stale), 'row')} of the sample, with the vector of"
                f" another text; the service embeds them: {shown}{more}"
            )
        if match.cut_elsewhere:
            self._line(
                "Texts over the model's limit were embedded with another limit: all of them get"
                " their vector from the service."
            )
        if judging.is_whole(match, self.counts):
            self._line("Every row with a text and a vector was compared.")
        else:
            self._line(
                f"{self.counts.vectors - len(match.cosines):,} rows were not compared. Of those up"
                f" to {judging.bound(match, self.counts):.1%} may have the vector of another text"
                " (95 % confidence), and keep it."
            )

    def matches_too(self, other: Candidate, *, linked: bool) -> None:
        self._found.setdefault("matching_too", []).append({"name": other.name, "linked": linked})
        if linked:
            self._line(f"{other.name} matches too: the same space by a link.")
        else:
            space = self._found["model"]["space"]
            self._line(
                f"{other.name} matches too, as a space of its own; where it is the same model,"
                f" `vecmark models link {shlex.quote(other.name)} {space}` puts that on record."
            )

    def dry(self) -> None:
        self._line("Nothing was made (--dry-run).")

    def made(self, space: str, evidence: Mapping[str, object], tally: RowTally) -> None:
        name = self._asked.collection
        pending, left_out = sum(tally.pending.values()), sum(tally.left_out.values())
        self._found |= {
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
            f"Made the collection {name}: {output.count(tally.taken, 'document')},"
            f" {tally.taken - pending:,} with the table's vector, {pending:,} to be embedded,"
            f" {output.count(left_out, 'row')} left out."
        )
        for title, reasons, counts in (
            ("To be embedded", _PENDING, tally.pending),
            ("Left out", _LEFT_OUT, tally.left_out),
        ):
            for reason, count in counts.items():
                ids = tally.examples.get(reason, [])
                shown = f": {', '.join(ids)}" if ids else ""
                more = " ..." if count > len(ids) and ids else ""
                self._line(f"{title}: {count:,}, {reasons[reason]}{shown}{more}")


def _cells(verdict: AdoptionVerdict) -> tuple[object, ...]:
    candidate, match = verdict.candidate, verdict.match
    name = ", ".join((candidate.name, *candidate.also[:_FEW]))
    if match is None:
        return (name, candidate.dimensions or "", "", "", "", "", verdict.outcome)
    numbers = (f"{match.quantile(part):.6f}" for part in (0.5, 0.05, 0))
    return (name, candidate.dimensions, *numbers, f"{match.share:.1%}", verdict.outcome)


def _as_json(verdict: AdoptionVerdict) -> dict[str, Any]:
    candidate, match = verdict.candidate, verdict.match
    described = candidate.described
    shown: dict[str, Any] = {
        "model": candidate.name,
        "also": candidate.also,
        "space": None if described is None else described.space.fingerprint,
        "dimensions": candidate.dimensions,
        "verdict": verdict.outcome,
        "more": verdict.hint,
    }
    if match is not None:
        shown |= {
            "compared": int(np.count_nonzero(match.compared)),
            "median": match.median,
            "worst_5_percent": match.quantile(0.05),
            "worst": match.quantile(0),
            "share": match.share,
        }
    return shown
