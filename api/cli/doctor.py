"""`vecmark doctor`: each check establishes one fact and changes nothing."""

import asyncio
import contextlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click
import sqlalchemy

from api.cli import client, errors, flags, output, ports
from api.cli.database import connection
from api.cli.models import show
from api.schemas import health as health_schemas
from api.settings import Settings
from embedding import errors as embedding_errors
from embedding import loading
from embedding.model_files import description
from indexing import figures
from migrations import schema
from storage import engine as storage_engine
from storage import errors as storage_errors
from storage.embedded import layout

# On a full disk the embedded PostgreSQL refuses writes; converting a model takes 3 copies of it.
LOW_DISK_BYTES = 2 * 1024**3
FULL_DISK_BYTES = 200 * 1024**2
_READY_TIMEOUT_S = 10

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    level: Level
    subject: str
    message: str
    advice: str = ""


async def run_checks(settings: Settings) -> list[Finding]:
    """Every finding, in the order in which a start would meet them."""
    url = None
    with contextlib.suppress(errors.Failure):
        url = await client.find_running(settings)
    findings = [_check_data_dir(settings.data_dir), _check_disk(settings.data_dir)]
    findings += [_check_service(settings, url)]
    if url is not None:
        findings += await _check_readiness(url)
    findings += await asyncio.to_thread(_check_database, settings)
    findings += await asyncio.to_thread(_check_model, settings)
    return findings


def _check_service(settings: Settings, url: str | None) -> Finding:
    if url is not None:
        return Finding("ok", "service", f"answers at {url}")
    if settings.url is not None:
        message = f"no Vecmark service answers at {settings.url}"
        return Finding("fail", "service", message, "start it there, or set another VECMARK_URL")
    try:
        ports.claim(settings.host, settings.port).close()
    except errors.Failure as error:
        return Finding("fail", "port", error.message)
    message = f"{settings.port} on {settings.host} is free; no service is running"
    return Finding("ok", "port", message)


async def _check_readiness(url: str) -> list[Finding]:
    """What the service reports itself, such as that a collection's model is missing."""
    try:
        async with client.connect(url) as service:
            response = await service.fetch("GET", "/readyz", timeout=_READY_TIMEOUT_S)
            readiness = service.decode(response.content, health_schemas.Readiness).value
    except errors.Unavailable as error:
        return [Finding("fail", "service", f"/readyz: {error.reason}")]
    except errors.Failure:  # a problem instead: the service may be stopping
        return [Finding("fail", "service", f"/readyz answers {response.status_code}")]
    wrong = {name: result for name, result in readiness.checks.items() if result != "ok"}
    return [
        *(Finding("fail", f"service, {name}", result) for name, result in wrong.items()),
        *(Finding("warn", "service", warning) for warning in readiness.warnings),
    ]


def _check_data_dir(data_dir: Path) -> Finding:
    existing = _nearest_existing(data_dir)
    try:
        with tempfile.NamedTemporaryFile(dir=existing, prefix=".vecmark-doctor-"):
            pass
    except OSError as error:
        advice = f"let the user {os.getuid()} write there, or set VECMARK_DATA_DIR"
        return Finding("fail", "data directory", f"{existing}: {error.strerror}", advice)
    state = "is writable" if existing == data_dir else "will be created"
    return Finding("ok", "data directory", f"{data_dir} {state}")


def _check_disk(data_dir: Path) -> Finding:
    free = shutil.disk_usage(_nearest_existing(data_dir)).free
    message = f"{figures.format_bytes(free)} free for {data_dir}"
    if free >= LOW_DISK_BYTES:
        return Finding("ok", "disk", message)
    advice = "free some space, or set VECMARK_DATA_DIR to a larger disk"
    return Finding("fail" if free < FULL_DISK_BYTES else "warn", "disk", message, advice)


def _nearest_existing(data_dir: Path) -> Path:
    """The data directory, or the nearest directory above it that exists."""
    return next(path for path in (data_dir, *data_dir.parents) if path.exists())


def _check_database(settings: Settings) -> list[Finding]:
    if (
        settings.database_url is None
        and not layout.Layout.under(settings.data_dir).cluster.exists()
    ):
        return [Finding("ok", "database", "the embedded PostgreSQL is created at the first start")]
    try:
        with connection.open_database(settings) as url:
            return _check_connected(url, embedded=settings.database_url is None)
    except (errors.Failure, storage_errors.StorageError) as error:
        advice = (
            "check that the server runs, and the address, user and password in VECMARK_DATABASE_URL"
        )
        return [Finding("fail", "database", str(error), advice if settings.database_url else "")]


def _check_connected(url: str, *, embedded: bool) -> list[Finding]:
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    with engine.connect() as conn:
        server = conn.exec_driver_sql("SHOW server_version").scalar_one()
        pgvector = conn.exec_driver_sql(
            "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
        ).scalar()
    kind = "embedded PostgreSQL" if embedded else "PostgreSQL"
    return [
        Finding("ok", "database", f"{kind} {server} answers"),
        _check_extension(pgvector),
        _check_schema(schema.current(url), embedded=embedded),
    ]


def _check_extension(version: str | None) -> Finding:
    minimum = ".".join(str(part) for part in storage_engine.MIN_PGVECTOR)
    if version is None:
        advice = "run `vecmark db upgrade` as a user who may run CREATE EXTENSION vector"
        return Finding("fail", "pgvector", "not in this database", advice)
    if tuple(int(part) for part in version.split(".")[:3]) < storage_engine.MIN_PGVECTOR:
        advice = f"install {minimum} or newer on the server, then run ALTER EXTENSION vector UPDATE"
        return Finding("fail", "pgvector", f"{version} can corrupt HNSW indexes", advice)
    return Finding("ok", "pgvector", f"{version} (needed: {minimum})")


def _check_schema(state: schema.SchemaState, *, embedded: bool) -> Finding:
    if state.is_current:
        return Finding("ok", "schema", f"current ({state.head})")
    message = f"at {state.current or 'nothing'}, this version needs {state.head}"
    if embedded:
        return Finding("ok", "schema", f"{message}; the next start upgrades it")
    return Finding("fail", "schema", message, "run `vecmark db upgrade`")


def _check_model(settings: Settings) -> list[Finding]:
    try:
        model = show.describe_model(settings, None)
    except embedding_errors.EmbeddingError as error:
        advice = "set VECMARK_MODEL to a model's directory, or unset it to use the bundled model"
        return [Finding("fail", "model", str(error), advice)]
    limit = f"{model.space.max_tokens} tokens" if model.space.max_tokens else "no limit"
    what = f"{model.name}, {model.space.dimensions} dimensions, {limit}, in {model.directory}"
    findings = [Finding("ok", "model", what)]
    findings += [
        Finding("ok", f"{kind} prompt", f"{prompt.text!r} (from: {prompt.source})")
        for kind, prompt in (("query", model.query_prompt), ("document", model.document_prompt))
    ]
    findings += [Finding("warn", "model", warning) for warning in model.warnings]
    return [*findings, _check_encoder(settings, model)]


def _check_encoder(settings: Settings, model: description.ModelDescription) -> Finding:
    try:
        loaded = loading.load(model, cache_dir=settings.cache_dir, device=settings.device)
    except (embedding_errors.EmbeddingError, OSError) as error:
        return Finding("fail", "encoder", str(error), "see the log of `vecmark serve` for details")
    try:
        asyncio.run(loaded.encode_query("a small animal that lives in water"))
    except embedding_errors.EmbeddingError as error:
        return Finding("fail", "encoder", str(error), "choose another VECMARK_DEVICE or model")
    finally:
        loaded.close()
    return Finding("ok", "encoder", "loads and encodes")


MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


@click.command()
@flags.options((*flags.SERVE, "url"))
def doctor(**flag_values: Any) -> None:
    """Check everything a service needs and suggest fixes.

    The exit code is 1 if a check fails.
    """
    has_failed = False
    for finding in asyncio.run(run_checks(flags.load(flag_values))):
        output.line(f"{MARKS[finding.level]}  {finding.subject}: {finding.message}")
        if finding.advice:
            output.line(f"      -> {finding.advice}")
        has_failed |= finding.level == "fail"
    raise SystemExit(1 if has_failed else 0)
