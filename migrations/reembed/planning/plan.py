"""What a re-embed migration would do, take and need: measured before anything is begun."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncEngine

from embedding.text.chunking import CHUNKER_VERSION, Chunking
from indexing import catalog
from indexing.models import memory
from indexing.models.loaded import Loaded
from indexing.models.pool import ModelPool
from migrations.reembed.planning import footprint, measurement, model_warnings
from migrations.reembed.planning.estimates import Rate
from migrations.reembed.planning.measurement import Measurement
from storage import spaces
from storage.collections import CollectionRow
from storage.indexes import IndexRow

Change = Literal["space", "chunking", "query-prompt", "none"]


class PlannedSpace(Struct, frozen=True, kw_only=True):
    id: str
    model: str


class PlannedChunking(Struct, frozen=True, kw_only=True):
    strategy: str
    size: int | None
    overlap: int


class PlannedSide(Struct, frozen=True, kw_only=True):
    """`max_tokens`: what the model reads of a text at once, None where it knows no limit."""

    space: PlannedSpace
    chunking: PlannedChunking
    dimensions: int
    max_tokens: int | None


class PlannedRate(Struct, frozen=True, kw_only=True):
    """How fast chunks of up to so many tokens were embedded here just now."""

    up_to_tokens: int
    chunks_per_s: float
    tokens_per_s: float


class PlannedSeconds(Struct, frozen=True, kw_only=True):
    """From the first document to an index that can be verified, by one worker of this kind."""

    low: float
    likely: float
    high: float


class PlannedDisk(Struct, frozen=True, kw_only=True):
    """`free_bytes` and `fits` are None where the database is not on this machine."""

    table_bytes: int
    hnsw_bytes: int
    wal_bytes: int
    peak_bytes: int
    free_bytes: int | None
    fits: bool | None


class PlannedMemory(Struct, frozen=True, kw_only=True):
    """`models_bytes`: all models that are loaded, the target (`target_bytes`) among them.

    `fits`: the target and those that collections need stay within the limit together.
    """

    models_bytes: int
    limit_bytes: int
    target_bytes: int
    fits: bool


class PlannedWriteCost(Struct, frozen=True, kw_only=True):
    """What a write takes longer while two indexes are kept."""

    encode_ms_per_document: float
    insert_ms_per_document: float


class Plan(Struct, frozen=True, kw_only=True):
    """Where nothing has to be embedded, nothing is measured: all figures are 0.

    `cut_without_chunking`: texts that the target would read the beginning of, were they not cut
    into chunks. `sampled`: documents that the estimates stand on.
    """

    needed: bool
    detail: str
    change: Change
    source: PlannedSide
    target: PlannedSide
    documents: int
    chunks: int
    tokens: int
    cut_without_chunking: int
    sampled: int
    rates: list[PlannedRate]
    seconds: PlannedSeconds
    disk: PlannedDisk
    memory: PlannedMemory
    write_cost: PlannedWriteCost
    warnings: list[str]


@dataclass(frozen=True)
class PlanSubject:
    """`target` is loaded and pinned, `chunking` resolved for it.

    `free_bytes` where the database is, None where that is another machine; `hnsw_min_rows` as in
    the settings: with fewer vectors no HNSW is built.
    """

    engine: AsyncEngine
    models: ModelPool
    collection: CollectionRow
    source: IndexRow
    target: Loaded
    chunking: Chunking
    free_bytes: int | None
    hnsw_min_rows: int = 10_000


def find_change(source: IndexRow, target: Loaded, chunking: Chunking) -> Change:
    """What would differ; a query prompt is no part of a space, so the caller looks at it."""
    if target.space_id != source.space_id:
        return "space"
    same = catalog.chunking_of(source) == chunking
    return "none" if same and source.chunker_version == CHUNKER_VERSION else "chunking"


async def make_plan(subject: PlanSubject) -> Plan:
    """Takes some ten seconds, of which the target's model works eight; nothing is kept.

    Raises EncoderFailed, EncoderDied.
    """
    kind = find_change(subject.source, subject.target, subject.chunking)
    engine, collection_id = subject.engine, subject.collection.id
    if kind == "none":
        found = await measurement.count_only(engine, collection_id)
    else:
        found = await measurement.measure(
            engine,
            collection_id,
            subject.target,
            subject.chunking,
            hnsw_min_rows=subject.hnsw_min_rows,
        )
    async with engine.connect() as conn:
        source = await spaces.by_id(conn, subject.source.space_id)
    return _plan(subject, kind, found, source)


def _plan(subject: PlanSubject, kind: Change, found: Measurement, source: spaces.SpaceRow) -> Plan:
    disk, models = _disk(subject, found), _memory(subject)
    too_long = found.documents * found.too_long
    return Plan(
        needed=kind != "none",
        detail=_detail(subject, kind, found),
        change=kind,
        source=_source(subject.source, source.max_tokens),
        target=_target(subject),
        documents=found.documents,
        chunks=round(found.chunks),
        tokens=round(found.tokens),
        cut_without_chunking=round(too_long),
        sampled=found.sampled,
        rates=[_rate(one) for one in found.rates],
        seconds=PlannedSeconds(**dataclasses.asdict(found.seconds)),
        disk=disk,
        memory=models,
        write_cost=PlannedWriteCost(
            encode_ms_per_document=1e3 * found.encode_s, insert_ms_per_document=1e3 * found.insert_s
        ),
        warnings=[] if kind == "none" else _warnings(subject, found, disk, models),
    )


def _source(index: IndexRow, max_tokens: int | None) -> PlannedSide:
    return PlannedSide(
        space=PlannedSpace(id=index.fingerprint, model=index.model_id),
        chunking=_chunking(catalog.chunking_of(index)),
        dimensions=index.dimensions,
        max_tokens=max_tokens,
    )


def _target(subject: PlanSubject) -> PlannedSide:
    space = subject.target.model.space
    return PlannedSide(
        space=PlannedSpace(id=subject.target.fingerprint, model=subject.target.name),
        chunking=_chunking(subject.chunking),
        dimensions=space.dimensions,
        max_tokens=space.max_tokens,
    )


def _chunking(given: Chunking) -> PlannedChunking:
    return PlannedChunking(strategy=given.strategy, size=given.size, overlap=given.overlap or 0)


def _rate(one: Rate) -> PlannedRate:
    return PlannedRate(
        up_to_tokens=one.up_to, chunks_per_s=one.likely, tokens_per_s=one.likely * one.tokens
    )


def _disk(subject: PlanSubject, found: Measurement) -> PlannedDisk:
    dimensions = subject.target.model.space.dimensions
    needs = footprint.estimate(round(found.chunks), dimensions, with_hnsw=found.with_hnsw)
    free = subject.free_bytes
    return PlannedDisk(
        table_bytes=needs.table_bytes,
        hnsw_bytes=needs.hnsw_bytes,
        wal_bytes=needs.wal_bytes,
        peak_bytes=needs.peak_bytes,
        free_bytes=free,
        fits=None if free is None else needs.peak_bytes <= free,
    )


def _memory(subject: PlanSubject) -> PlannedMemory:
    """Others than these go where room is needed."""
    models, target = subject.models, subject.target
    staying = {id(one.use): one.memory_bytes for one in (*models.serving, target)}
    return PlannedMemory(
        models_bytes=models.memory_bytes,
        limit_bytes=models.memory_limit,
        target_bytes=target.memory_bytes,
        fits=sum(staying.values()) <= models.memory_limit,
    )


def _detail(subject: PlanSubject, kind: Change, found: Measurement) -> str:
    source, target = subject.source.model_id, subject.target.name
    if kind == "none":
        return f"the collection is in this space of {target} with this chunking already"
    what = f"from {source} to {target}" if kind == "space" else f"other chunks for {target}"
    if not found.documents:
        return f"{what}: there is no document to embed"
    seconds = found.seconds
    low, likely, high = (
        format_duration(one) for one in (seconds.low, seconds.likely, seconds.high)
    )
    return (
        f"{what}: {found.documents:,} documents in about {found.chunks:,.0f} chunks, in about"
        f" {likely} ({low} to {high}) by one worker as fast as this one"
    )


def _warnings(
    subject: PlanSubject, found: Measurement, disk: PlannedDisk, models: PlannedMemory
) -> list[str]:
    said = list(model_warnings.model_warnings(subject.target, subject.chunking, found))
    if disk.fits is False:
        said.append(
            f"the disk of the database has {memory.shown(disk.free_bytes or 0)} free, and"
            f" {memory.shown(disk.peak_bytes)} may be needed at most: the new vectors, their HNSW"
            " index and the WAL, while the old index stays"
        )
    if not models.fits:
        said.append(
            f"the target takes {memory.shown(models.target_bytes)}; with the models that"
            " collections need it is more than VECMARK_MODEL_MEMORY"
            f" ({memory.shown(models.limit_bytes)}):"
            " raise it, or this machine may run out of memory while both are loaded"
        )
    return said


def format_duration(seconds: float) -> str:
    """For a person, two digits at least: `40 s`, `2.5 min`, `12 min`, `3.5 h`, `2.1 days`."""
    for unit, size, most in (("s", 1, 120), ("min", 60, 120), ("h", 3600, 48)):
        if seconds < most * size:
            count = seconds / size
            return f"{count:.{1 if unit != 's' and count < 9.95 else 0}f} {unit}"
    return f"{seconds / 86400:.1f} days"
