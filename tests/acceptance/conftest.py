"""Services that the tests talk to: one shared by all that leave no state, and ones of their own."""

import secrets
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
    """A service for many tests, each with a collection of its own."""
    with (
        databases.open_directory() as folder,
        services.serving(folder / "data", model_cache, database_url=shared_url) as service,
    ):
        yield service
        # Whatever the tests sent, nothing was unforeseen, and no document's text was logged.
        said = service.said()
        assert "request_failed" not in said, said
        assert "task_died" not in said, said
        assert "a boat" not in said


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
def home() -> Iterator[Path]:
    """A data directory for an embedded PostgreSQL, which is gone afterwards."""
    with services.directory() as data_dir:
        yield data_dir


@pytest.fixture
def serve(model_cache: Path, home: Path) -> Iterator[Callable[..., services.Service]]:
    """Starts services; all have ended after the test, and before their directory goes."""
    with ExitStack() as stack:

        def start(
            data_dir: Path, *arguments: str, ready: bool = True, **settings: object
        ) -> services.Service:
            service = services.serving(data_dir, model_cache, *arguments, ready=ready, **settings)
            return stack.enter_context(service)

        yield start
