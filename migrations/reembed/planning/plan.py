"""The plan of a migration: what would change, and the time, disk and memory it would take."""

import dataclasses
from dataclasses import dataclass

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncEngine

from embedding.text.chunking import Chunking
from indexing import catalog, figures
from indexing.models.loaded import Loaded
from indexing.models.pool import ModelPool
from migrations.reembed import start
from migrations.reembed.planning import footprint, measurement, model_warnings
from migrations.reembed.planning.estimates import ChunkRate
from migrations.reembed.planning.measurement import Measurement
from migrations.reembed.start import Change
from storage import spaces
from storage.collections import CollectionRow
from storage.indexes import IndexRow


class PlannedSpace(Struct, frozen=True, kw_only=True):
    id: str
    model: str


class PlannedChunking(Struct, frozen=True, kw_only=True):
    strategy: str
    size: int | None
    overlap: int


class PlannedSide(Struct, frozen=True, kw_only=True):
    """`max_tokens`: how many tokens of a text the model reads; None if it has no limit."""

    space: PlannedSpace
    chunking: PlannedChunking
    dimensions: int
    max_tokens: int | None


class PlannedRate(Struct, frozen=True, kw_only=True):
    """How fast chunks of up to `up_to_tokens` tokens were embedded on this machine."""

    up_to_tokens: int
    chunks_per_s: float
    tokens_per_s: float


class PlannedSeconds(Struct, frozen=True, kw_only=True):
    """From the first document to an index that can be verified, with one worker like this."""

    low: float
    likely: float
    high: float


class PlannedDisk(Struct, frozen=True, kw_only=True):
    """`free_bytes` and `fits` are None if the database is on another machine."""

    table_bytes: int
    hnsw_bytes: int
    wal_bytes: int
    peak_bytes: int
    free_bytes: int | None
    fits: bool | None


class PlannedMemory(Struct, frozen=True, kw_only=True):
    """`models_bytes`: all loaded models, including the target (`target_bytes`).

    `fits`: the target and the models that collections need are within the limit together.
    """

    models_bytes: int
    limit_bytes: int
    target_bytes: int
    fits: bool


class PlannedWriteCost(Struct, frozen=True, kw_only=True):
    """How much longer each write takes while two indexes are kept."""

    encode_ms_per_document: float
    insert_ms_per_document: float


class Plan(Struct, frozen=True, kw_only=True):
    """If nothing has to be embedded, nothing is measured, and all figures are 0.

    `cut_without_chunking`: texts of which the target would read only the beginning if they were
    not chunked. `sampled`: the number of documents that the estimates are based on.
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
    """What to plan; `target` is loaded and pinned, and `chunking` resolved for it.

    `free_bytes` on the database's disk, None if that is another machine. `hnsw_min_rows` as in the
    settings: with fewer vectors no HNSW index is built.
    """

    engine: AsyncEngine
    models: ModelPool
    collection: CollectionRow
    source: IndexRow
    target: Loaded
    chunking: Chunking
    free_bytes: int | None
    hnsw_min_rows: int = 10_000


async def make_plan(subject: PlanSubject) -> Plan:
    """Takes about ten seconds, with the target's model busy for eight; stores nothing.

    Raises EncoderFailed, EncoderDied.
    """
    kind = start.find_change(subject.source, subject.target, subject.chunking)
    engine, collection_id = subject.engine, subject.collection.id
    if kind == "none":
        measured = await measurement.count_only(engine, collection_id)
    else:
        measured = await measurement.measure(
            engine,
            collection_id,
            subject.target,
            subject.chunking,
            hnsw_min_rows=subject.hnsw_min_rows,
        )
    async with engine.connect() as conn:
        source = await spaces.by_id(conn, subject.source.space_id)
    return _plan(subject, kind, measured, source)


def _plan(
    subject: PlanSubject, kind: Change, measured: Measurement, source: spaces.SpaceRow
) -> Plan:
    disk, models = _disk(subject, measured), _memory(subject)
    too_long = measured.documents * measured.too_long
    return Plan(
        needed=kind != "none",
        detail=_detail(subject, kind, measured),
        change=kind,
        source=_source(subject.source, source.max_tokens),
        target=_target(subject),
        documents=measured.documents,
        chunks=round(measured.chunks),
        tokens=round(measured.tokens),
        cut_without_chunking=round(too_long),
        sampled=measured.sampled,
        rates=[_rate(rate) for rate in measured.rates],
        seconds=PlannedSeconds(**dataclasses.asdict(measured.seconds)),
        disk=disk,
        memory=models,
        write_cost=PlannedWriteCost(
            encode_ms_per_document=1e3 * measured.encode_s,
            insert_ms_per_document=1e3 * measured.insert_s,
        ),
        warnings=[] if kind == "none" else _warnings(subject, measured, disk, models),
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


def _chunking(chunking: Chunking) -> PlannedChunking:
    return PlannedChunking(
        strategy=chunking.strategy, size=chunking.size, overlap=chunking.overlap or 0
    )


def _rate(rate: ChunkRate) -> PlannedRate:
    return PlannedRate(
        up_to_tokens=rate.up_to, chunks_per_s=rate.likely, tokens_per_s=rate.likely * rate.tokens
    )


def _disk(subject: PlanSubject, measured: Measurement) -> PlannedDisk:
    dimensions = subject.target.model.space.dimensions
    needs = footprint.estimate(round(measured.chunks), dimensions, with_hnsw=measured.with_hnsw)
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
    """Counts the models that stay; others are unloaded when memory is needed."""
    models, target = subject.models, subject.target
    needed = {id(model.use): model.memory_bytes for model in (*models.serving, target)}
    return PlannedMemory(
        models_bytes=models.memory_bytes,
        limit_bytes=models.memory_limit,
        target_bytes=target.memory_bytes,
        fits=sum(needed.values()) <= models.memory_limit,
    )


def _detail(subject: PlanSubject, kind: Change, measured: Measurement) -> str:
    source, target = subject.source.model_id, subject.target.name
    if kind == "none":
        return f"the collection already uses the space of {target} with this chunking"
    what = f"from {source} to {target}" if kind == "space" else f"other chunks for {target}"
    if not measured.documents:
        return f"{what}: there are no documents to embed"
    seconds = measured.seconds
    low, likely, high = (
        format_duration(value) for value in (seconds.low, seconds.likely, seconds.high)
    )
    return (
        f"{what}: {measured.documents:,} documents in about {measured.chunks:,.0f} chunks, in"
        f" about {likely} ({low} to {high}) with one worker as fast as this one"
    )


def _warnings(
    subject: PlanSubject, measured: Measurement, disk: PlannedDisk, models: PlannedMemory
) -> list[str]:
    warnings = list(model_warnings.model_warnings(subject.target, subject.chunking, measured))
    if disk.fits is False:
        warnings.append(
            f"the database's disk has {figures.format_bytes(disk.free_bytes or 0)} free, but up to"
            f" {figures.format_bytes(disk.peak_bytes)} may be needed: the new vectors, their HNSW"
            " index and the WAL, while the old index stays"
        )
    if not models.fits:
        warnings.append(
            f"the target's model needs {figures.format_bytes(models.target_bytes)}, and with the"
            " models that collections need this exceeds VECMARK_MODEL_MEMORY"
            f" ({figures.format_bytes(models.limit_bytes)}):"
            " raise it, or this machine may run out of memory while both are loaded"
        )
    return warnings


def format_duration(seconds: float) -> str:
    """For people, with at least two digits: `40 s`, `2.5 min`, `12 min`, `3.5 h`, `2.1 days`."""
    for unit, size, most in (("s", 1, 120), ("min", 60, 120), ("h", 3600, 48)):
        if seconds < most * size:
            count = seconds / size
            return f"{count:.{1 if unit != 's' and count < 9.95 else 0}f} {unit}"
    return f"{seconds / 86400:.1f} days"
