"""Finds the model that made a table's vectors: each candidate embeds a sample again."""

import asyncio
import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from embedding.errors import EmbeddingError
from embedding.loading import ModelSettings
from embedding.model import LoadedModel
from indexing.adoption import differences, matching
from indexing.adoption.candidates import Candidate
from indexing.adoption.matching import Bounds, Match, Progress, TableSample
from indexing.models.loaded import LoadedModels
from indexing.models.loader import ModelLoader
from indexing.models.memory import MemoryBudget
from storage import spaces
from storage.adoption.source_rows import TableCounts


@dataclasses.dataclass(frozen=True)
class AdoptionVerdict:
    """The outcome for one candidate, with its match if it was compared, and a hint for people."""

    candidate: Candidate
    match: Match | None
    outcome: str
    hint: str = ""


class Judge:
    """Keeps one model in memory at a time; an async context manager."""

    def __init__(self, engine: AsyncEngine, settings: ModelSettings, bounds: Bounds) -> None:
        loaded = LoadedModels()
        budget = MemoryBudget(engine, loaded, limit=None)
        self._loader = ModelLoader(engine, settings, loaded, budget)
        self._bounds = bounds
        self._open: tuple[Candidate, LoadedModel] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._close()
        await self._loader.close()

    async def open(self, candidate: Candidate) -> LoadedModel:
        """Load the candidate's model, unless it is the loaded one. Raises EmbeddingError."""
        if self._open is not None and self._open[0] is candidate:
            return self._open[1]
        await self._close()
        if candidate.described is None:
            raise ValueError(f"{candidate.name} can't be used: {candidate.problem}")
        model = await self._loader.open(candidate.described)
        self._open = (candidate, model)
        return model

    async def _close(self) -> None:
        if self._open is not None:
            (_, model), self._open = self._open, None
            await asyncio.to_thread(model.close)

    async def judge(
        self, candidate: Candidate, sample: TableSample, progress: Progress
    ) -> AdoptionVerdict:
        """Compare the model with the table, if it can be compared."""
        if candidate.problem is not None:
            return AdoptionVerdict(candidate, None, "unusable", candidate.problem)
        if candidate.dimensions != sample.dimensions:
            return AdoptionVerdict(
                candidate, None, "other dimensions", _cut_vectors(candidate, sample)
            )
        try:
            model = await self.open(candidate)
            match = await matching.compare(model, candidate, sample, self._bounds, progress)
        except EmbeddingError as error:
            return AdoptionVerdict(candidate, None, "unusable", str(error))
        return AdoptionVerdict(candidate, match, _outcome(match))

    async def explain(self, match: Match, sample: TableSample) -> list[str]:
        """Why the model matches only nearly."""
        return await differences.explain(await self.open(match.candidate), sample, match)

    async def is_findable(self, candidate: Candidate) -> bool:
        """Whether a service with the same settings finds the model's files."""
        described = candidate.described
        if described is None:
            return False
        files = await self._loader.find({described.space.fingerprint}, described.options)
        return files is not None


def _cut_vectors(candidate: Candidate, sample: TableSample) -> str:
    described, needed = candidate.described, sample.dimensions
    if described is None or not described.matryoshka or described.space.dimensions < needed:
        return ""
    return f"if its vectors were cut to {needed}, add it again with --dimensions {needed}"


def _outcome(match: Match) -> str:
    if not match.compared.any():
        return "reads nothing of these texts"
    if match.matches:
        return "matches up to its limit" if match.cut_elsewhere else "matches"
    return "nearly matches" if match.is_near else "not its vectors"


async def is_linked(conn: AsyncConnection, first: Candidate, second: Candidate) -> bool:
    """Whether both are recorded as models of one space."""
    space_ids = []
    links = await spaces.links(conn)
    for candidate in (first, second):
        if candidate.described is None:
            return False
        fingerprint = candidate.described.space.fingerprint
        row = await spaces.by_fingerprint(conn, fingerprint)
        space_ids.append(links.get(fingerprint, None if row is None else row.id))
    return space_ids[0] is not None and space_ids[0] == space_ids[1]


def is_whole(match: Match, counts: TableCounts) -> bool:
    """Whether every vector of the table was compared."""
    return len(match.cosines) >= counts.vectors


def bound(match: Match, counts: TableCounts) -> float:
    """The largest share of the rows not compared that may have the vector of another text."""
    if is_whole(match, counts):
        return 0.0
    rows = match.compared & ~match.cut if match.cut_elsewhere else match.compared
    return upper_bound(int((match.differs & rows).sum()), int(rows.sum()))


def evidence(
    match: Match, counts: TableCounts, *, source: str, claimed: Sequence[str]
) -> dict[str, object]:
    """What was measured, as it is stored with the index."""
    return {
        "source": source,
        "claimed": list(claimed),
        "rows": counts.rows,
        "sampled": int(match.compared.sum()),
        "median": round(match.median, 8),
        "worst_5_percent": round(match.quantile(0.05), 8),
        "worst": round(match.quantile(0), 8),
        "share": round(match.share, 6),
        "least_cosine": match.bounds.least_cosine,
        "stale_upper_bound_95": round(bound(match, counts), 6),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


_CONFIDENCE = 0.95


def upper_bound(failed: int, compared: int) -> float:
    """The largest share of failing rows that `failed` of `compared` random rows allow, at 95 %.

    Clopper and Pearson's one-sided bound; about 3 / `compared` without a failure, 1 if nothing
    was compared or everything failed.
    """
    if failed >= compared:
        return 1.0
    # Here, since only an adoption needs it: 0.5 s. `scipy.stats.beta.ppf` gives the same numbers,
    # but importing `scipy.stats` takes 2.2 s.
    from scipy import special  # noqa: PLC0415

    return float(special.betaincinv(failed + 1, compared - failed, _CONFIDENCE))
