"""Services that the tests talk to: a shared one, and separate ones."""

import functools
import secrets
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import psycopg
import pytest
import sqlalchemy

from tests import databases, services


@pytest.fixture(scope="session")
def shared_url(database_server: str, template_database: str) -> Iterator[str]:
    with databases.fresh(database_server, template=template_database) as url:
        yield url


@pytest.fixture(scope="session")
def shared(shared_url: str, model_cache: Path) -> Iterator[services.Service]:
    """A service for many tests, each of which uses its own collection."""
    with (
        databases.open_directory() as folder,
        services.serving(folder / "data", model_cache, database_url=shared_url) as service,
    ):
        yield service
        # Whatever the tests sent caused no unexpected error and logged no document's text.
        log = service.output()
        assert "request_failed" not in log, log
        assert "task_died" not in log, log
        assert "a boat" not in log


@pytest.fixture
def client(shared: services.Service) -> Iterator[httpx.Client]:
    with shared.client() as client:
        yield client


@pytest.fixture
def collection(client: httpx.Client) -> str:
    """The name of a new collection of the shared service."""
    name = f"c{secrets.token_hex(6)}"
    client.post("/v1/collections", json={"name": name}).raise_for_status()
    return name


@pytest.fixture
def sql(shared_url: str) -> Iterator[psycopg.Connection]:
    """A connection to the shared service's database."""
    plain = sqlalchemy.make_url(shared_url).set(drivername="postgresql")
    url = plain.render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def vecmark(
    shared: services.Service, tmp_path: Path
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command against the shared service."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return services.run(tmp_path / "unused", *arguments, url=shared.url)

    return run


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """A folder with four documents: whole files, and rows or lines of files."""
    folder = tmp_path / "notes"
    (folder / "sub").mkdir(parents=True)
    (folder / "pond.txt").write_text("Newts live in ponds.")
    (folder / "sub" / "bread.md").write_text("# Bread\n\nBake the dough at 220 degrees.")
    (folder / "music.csv").write_text("id,text,year\nviolin,A violin has four strings,1999\n")
    (folder / "more.jsonl").write_text('{"text": "A hawk hunts by day."}\n')
    return folder


@pytest.fixture
def home() -> Iterator[Path]:
    """A data directory for an embedded PostgreSQL, deleted afterwards."""
    with services.directory() as data_dir:
        yield data_dir


@pytest.fixture
def serve(model_cache: Path, home: Path) -> Iterator[Callable[..., services.Service]]:
    """Starts services; all are stopped after the test, before their directory is deleted."""
    with ExitStack() as stack:

        def start(
            data_dir: Path, *arguments: str, ready: bool = True, **settings: object
        ) -> services.Service:
            service = services.serving(data_dir, model_cache, *arguments, ready=ready, **settings)
            return stack.enter_context(service)

        yield start


@pytest.fixture
def serve_static(
    serve: Callable[..., services.Service], static_model: Path
) -> Callable[..., services.Service]:
    """Starts services with a very fast model, for tests that don't depend on the model."""
    return functools.partial(serve, model=static_model)
