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
    """Makes the data directory one that was used before: a first start takes a second."""
    data_dir.mkdir(mode=0o755 if os.geteuid() == 0 else 0o700)
    target = data_dir / stopped_home.name
    target.mkdir()
    for part in stopped_home.iterdir():
        # The programs are only read: links to the same files save the time of a copy.
        how = ["cp", "-a", *(["-l"] if part.name.startswith("programs-") else [])]
        subprocess.run([*how, str(part), str(target)], check=True)


@pytest.fixture
def place(data_dir: Path) -> layout.Layout:
    return layout.Layout.under(data_dir)


@pytest.fixture
def embedded(place: layout.Layout, data_dir: Path) -> Iterator[Callable[..., object]]:
    """Makes users of the test's data directory in this process; whatever runs is stopped."""
    made: list[postgres.EmbeddedPostgres] = []

    def make(**options):
        made.append(postgres.EmbeddedPostgres(data_dir, **options))
        return made[-1]

    yield make
    for one in made:
        one.stop()
    # What a test that failed half-way left to nobody.
    for left in postmaster.processes(place.cluster):
        postmaster.end(left)


@pytest.fixture
def user(data_dir: Path, embedded) -> Iterator[Callable[..., User]]:
    """Starts users in processes of their own, which end when their input is closed."""
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
            process.communicate(timeout=60)  # closes its input, on which it ends
