"""What `vecmark doctor` looks at; each check finds one fact and changes nothing."""

import asyncio
import contextlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click
import httpx
import sqlalchemy

from api import settings
from api.cli import client, database, errors, flags, output, ports
from api.cli.models import show
from embedding import errors as embedding_errors
from embedding import loading
from embedding.model_files import description
from migrations import schema
from storage import engine as storage_engine
from storage import errors as storage_errors
from storage.embedded import layout

# The embedded PostgreSQL stops taking writes without room; a model's conversion needs 3 copies.
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


async def run_checks(chosen: settings.Settings) -> list[Finding]:
    """Every finding, in the order in which a start would meet them."""
    url = None
    with contextlib.suppress(errors.Failure):
        url = await client.running(chosen)
    findings = [_data_dir(chosen.data_dir), _disk(chosen.data_dir)]
    findings += [_service(chosen, url)]
    if url is not None:
        findings += await _ready(url)
    findings += await asyncio.to_thread(_database, chosen)
    findings += await asyncio.to_thread(_model, chosen)
    return findings


def _service(chosen: settings.Settings, url: str | None) -> Finding:
    if url is not None:
        return Finding("ok", "service", f"answers at {url}")
    if chosen.url is not None:
        return Finding("fail", "service", f"no Vecmark answers at {chosen.url}", "start it there")
    try:
        ports.claim(chosen.host, chosen.port).close()
    except errors.Failure as error:
        return Finding("fail", "port", error.message)
    return Finding("ok", "port", f"{chosen.port} on {chosen.host} is free; no service runs")


async def _ready(url: str) -> list[Finding]:
    """What the service says of itself: a model that a collection needs and that is gone, say."""
    async with httpx.AsyncClient(timeout=_READY_TIMEOUT_S, trust_env=False) as http:
        try:
            answer = await http.get(f"{url}/readyz")
            told = answer.json()
        except (httpx.TransportError, ValueError) as error:
            return [Finding("fail", "service", f"/readyz: {error or type(error).__name__}")]
    if not isinstance(told, dict) or "checks" not in told:  # it is being stopped, say
        return [Finding("fail", "service", f"/readyz answers {answer.status_code}")]
    wrong = {name: found for name, found in told["checks"].items() if found != "ok"}
    return [
        *(Finding("fail", f"service, {name}", found) for name, found in wrong.items()),
        *(Finding("warn", "service", warning) for warning in told["warnings"]),
    ]


def _data_dir(data_dir: Path) -> Finding:
    existing = next(path for path in (data_dir, *data_dir.parents) if path.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=existing, prefix=".vecmark-doctor-"):
            pass
    except OSError as error:
        advice = f"give the user {os.getuid()} the right to write there, or set VECMARK_DATA_DIR"
        return Finding("fail", "data directory", f"{existing}: {error.strerror}", advice)
    state = "can be written" if existing == data_dir else "will be made"
    return Finding("ok", "data directory", f"{data_dir} {state}")


def _disk(data_dir: Path) -> Finding:
    existing = next(path for path in (data_dir, *data_dir.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    message = f"{free / 1024**3:.1f} GB free for {data_dir}"
    if free >= LOW_DISK_BYTES:
        return Finding("ok", "disk", message)
    advice = "make room, or set VECMARK_DATA_DIR to a larger disk"
    return Finding("fail" if free < FULL_DISK_BYTES else "warn", "disk", message, advice)


def _database(chosen: settings.Settings) -> list[Finding]:
    if chosen.database_url is None and not layout.Layout.under(chosen.data_dir).cluster.exists():
        return [Finding("ok", "database", "the embedded PostgreSQL is made at the first start")]
    try:
        with database.database(chosen) as url:
            return _inside(url, embedded=chosen.database_url is None)
    except (errors.Failure, storage_errors.StorageError) as error:
        advice = "check the server and the address, user and password in VECMARK_DATABASE_URL"
        return [Finding("fail", "database", str(error), advice if chosen.database_url else "")]


def _inside(url: str, *, embedded: bool) -> list[Finding]:
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        server = connection.exec_driver_sql("SHOW server_version").scalar_one()
        pgvector = connection.exec_driver_sql(
            "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
        ).scalar()
    kind = "embedded PostgreSQL" if embedded else "PostgreSQL"
    return [
        Finding("ok", "database", f"{kind} {server} answers"),
        _extension(pgvector),
        _schema(schema.current(url), embedded=embedded),
    ]


def _extension(version: str | None) -> Finding:
    least = ".".join(str(part) for part in storage_engine.MIN_PGVECTOR)
    if version is None:
        advice = "run `vecmark db upgrade` as a user who may CREATE EXTENSION vector"
        return Finding("fail", "pgvector", "not in this database", advice)
    if tuple(int(part) for part in version.split(".")[:3]) < storage_engine.MIN_PGVECTOR:
        advice = f"install {least} or newer on the server, then ALTER EXTENSION vector UPDATE"
        return Finding("fail", "pgvector", f"{version} can corrupt HNSW indexes", advice)
    return Finding("ok", "pgvector", f"{version} (needed: {least})")


def _schema(state: schema.SchemaState, *, embedded: bool) -> Finding:
    if state.is_current:
        return Finding("ok", "schema", f"current ({state.head})")
    message = f"at {state.current or 'nothing'}, this version needs {state.head}"
    if embedded:
        return Finding("ok", "schema", f"{message}: upgraded at the next start")
    return Finding("fail", "schema", message, "run `vecmark db upgrade`")


def _model(chosen: settings.Settings) -> list[Finding]:
    try:
        found = show.describe(chosen, None)
    except embedding_errors.EmbeddingError as error:
        advice = "set VECMARK_MODEL to a model's directory, or unset it for the bundled one"
        return [Finding("fail", "model", str(error), advice)]
    limit = f"{found.space.max_tokens} tokens" if found.space.max_tokens else "no limit"
    what = f"{found.name}, {found.space.dimensions} dimensions, {limit}, in {found.directory}"
    findings = [Finding("ok", "model", what)]
    findings += [
        Finding("ok", f"{kind} prompt", f"{prompt.text!r} (from: {prompt.source})")
        for kind, prompt in (("query", found.query_prompt), ("document", found.document_prompt))
    ]
    findings += [Finding("warn", "model", warning) for warning in found.warnings]
    return [*findings, _encoder(chosen, found)]


def _encoder(chosen: settings.Settings, found: description.ModelDescription) -> Finding:
    try:
        loaded = loading.load(found, cache_dir=chosen.cache_dir, device=chosen.device)
    except (embedding_errors.EmbeddingError, OSError) as error:
        return Finding("fail", "encoder", str(error), "the log of `vecmark serve` says more")
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
def doctor(**given: Any) -> None:
    """Check all that a service needs, and say what to do about what is missing."""

    worst = False
    for finding in asyncio.run(run_checks(flags.load(given))):
        output.line(f"{MARKS[finding.level]}  {finding.subject}: {finding.message}")
        if finding.advice:
            output.line(f"      -> {finding.advice}")
        worst |= finding.level == "fail"
    raise SystemExit(1 if worst else 0)
