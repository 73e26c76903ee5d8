"""An embedded PostgreSQL in its own data directory, with users in this and other processes."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage.embedded import layout, postgres, postmaster
from tests import databases

User = subprocess.Popen[str]


@pytest.fixture(scope="session")
def stopped_home() -> Iterator[Path]:
    """What a first start and a clean stop leave in a data directory."""
    with databases.open_directory() as folder:
        with postgres.EmbeddedPostgres(folder):
            pass
        yield layout.Layout.under(folder).home


@pytest.fixture
def prepared(stopped_home: Path, data_dir: Path) -> None:
    """Fills the data directory as after earlier use, because a first start takes a second."""
    data_dir.mkdir(mode=0o755 if os.geteuid() == 0 else 0o700)
    target = data_dir / stopped_home.name
    target.mkdir()
    for part in stopped_home.iterdir():
        # The programs are only read, so hard links save the time of a copy.
        how = ["cp", "-a", *(["-l"] if part.name.startswith("programs-") else [])]
        subprocess.run([*how, str(part), str(target)], check=True)


@pytest.fixture
def place(data_dir: Path) -> layout.Layout:
    return layout.Layout.under(data_dir)


@pytest.fixture
def embedded(place: layout.Layout, data_dir: Path) -> Iterator[Callable[..., object]]:
    """Creates users of the test's data directory in this process, and stops what still runs."""
    servers: list[postgres.EmbeddedPostgres] = []

    def make(**options):
        servers.append(postgres.EmbeddedPostgres(data_dir, **options))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()
    # Left over if a test failed half-way.
    for process in postmaster.processes(place.cluster):
        postmaster.end(process)


@pytest.fixture
def user(data_dir: Path, embedded) -> Iterator[Callable[..., User]]:
    """Starts users in their own processes, which end when their input is closed."""
    started: list[User] = []

    def start(directory: Path = data_dir, *arguments: str) -> User:
        command = [sys.executable, "-m", "tests.integration.embedded.user", str(directory)]
        process = subprocess.Popen(
            [*command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if not (process.stdout and process.stdout.closed):
            process.communicate(timeout=60)  # closes its input, so it ends
