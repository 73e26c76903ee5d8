"""The PostgreSQL that the tests use: choosing it, running it, a new database for each test."""

import contextlib
import gc
import os
import secrets
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psycopg
import sqlalchemy
from psycopg import sql

from storage.embedded import postgres

IMAGE = "pgvector/pgvector:0.8.5-pg18"
_DOCKER_S = 2
_PULL_S = 120


@dataclass(frozen=True)
class Choice:
    kind: Literal["url", "container", "embedded"]
    reason: str

    def __str__(self) -> str:
        return f"database of the tests: {self.kind} ({self.reason})"


@dataclass(frozen=True)
class Docker:
    """What is known about a Docker engine."""

    answers: bool
    has_image: bool


def choose(url: str | None, docker: Docker) -> Choice:
    """The server at `url`, otherwise a container, otherwise the embedded PostgreSQL."""
    if url:
        return Choice("url", "TEST_DATABASE_URL")
    if not docker.answers:
        return Choice("embedded", "TEST_DATABASE_URL is not set, no Docker engine answers")
    if not docker.has_image:
        return Choice("embedded", f"the Docker engine neither has nor gets {IMAGE}")
    return Choice("container", IMAGE)


def look_for_docker() -> Docker:
    """Ask for an engine, for at most two seconds, and for the image, which is pulled if missing."""
    with warnings.catch_warnings():
        # If the engine does not answer, its client leaves a socket to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            return _ask_docker()
        finally:
            gc.collect()


def _ask_docker() -> Docker:
    import docker

    try:
        client = docker.from_env(timeout=_DOCKER_S)
        client.ping()
    except (docker.errors.DockerException, OSError):
        return Docker(answers=False, has_image=False)
    with contextlib.closing(client):
        try:
            client.images.get(IMAGE)
        except docker.errors.DockerException:
            return Docker(answers=True, has_image=_pulls(client))
    return Docker(answers=True, has_image=True)


def _pulls(client) -> bool:
    """Whether the engine can pull the image; failing without a network is not an error."""
    import docker

    client.api.timeout = _PULL_S
    try:
        client.images.pull(IMAGE)
    except (docker.errors.DockerException, OSError):
        return False
    return True


@contextlib.contextmanager
def running(choice: Choice, url: str | None) -> Iterator[str]:
    """The URL of a running server, for a user who can create databases."""
    if choice.kind == "url":
        yield (
            sqlalchemy.make_url(url or "")
            .set(drivername="postgresql+psycopg")
            .render_as_string(hide_password=False)
        )
    elif choice.kind == "container":
        from testcontainers.postgres import PostgresContainer

        with PostgresContainer(IMAGE, driver="psycopg") as container:
            yield container.get_connection_url(host="127.0.0.1")
    else:
        # These tests need not survive a crash of the machine.
        fast = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        with (
            open_directory() as folder,
            postgres.EmbeddedPostgres(folder, overrides=fast) as server,
        ):
            yield server.url


@contextlib.contextmanager
def open_directory() -> Iterator[Path]:
    """A new directory that other users can enter: for root, PostgreSQL runs as another user.

    Only its owner can enter pytest's own tmp_path.
    """
    folder = make_open_directory()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def make_open_directory() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="vecmark-test-")).resolve()
    folder.chmod(0o711)
    return folder


@contextlib.contextmanager
def fresh(server_url: str, *, template: str | None = None) -> Iterator[str]:
    """The URL of a new database, dropped afterwards even if somebody is still connected."""
    name = f"vecmark_test_{os.getpid()}_{secrets.token_hex(4)}"
    parts = ["CREATE DATABASE {}", *(["TEMPLATE {}"] if template else [])]
    names = [sql.Identifier(n) for n in (name, template) if n]
    create = sql.SQL(" ".join(parts)).format(*names)
    url = sqlalchemy.make_url(server_url)
    _execute(url, create)
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        _execute(url, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def database_name(url: str) -> str:
    return sqlalchemy.make_url(url).database or ""


def execute(url: str, statement: str) -> None:
    """Run one statement outside a transaction."""
    _execute(sqlalchemy.make_url(url), sql.SQL(statement))


def _execute(url: sqlalchemy.URL, statement: sql.SQL | sql.Composed) -> None:
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(statement)
