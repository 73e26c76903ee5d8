"""Fixtures for every test: a clean environment, and its own migrated database."""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before anything of ours is imported: the tests see no setting of the machine, and no model hub.
for _name in list(os.environ):
    if _name.startswith("VECMARK_") or _name in {"MODEL_PATH", "MODEL_SEQ_LEN"}:
        del os.environ[_name]
os.environ["HF_HUB_OFFLINE"] = "1"

from tests import databases, model_cache, models, processes, schedule  # noqa: E402

_TEST_DATABASE_URL = os.environ.get("TEST_DATABASE_URL")
_CHOICE = pytest.StashKey[databases.Choice]()
_MODEL_CACHE = "TEST_MODEL_CACHE"


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    if _TEST_DATABASE_URL:
        docker = databases.Docker(answers=False, has_image=False)
    else:
        docker = databases.look_for_docker()
    config.stash[_CHOICE] = databases.choose(_TEST_DATABASE_URL, docker)
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None:
        terminal.write_line(str(config.stash[_CHOICE]))
    if _MODEL_CACHE not in os.environ:
        stack = contextlib.ExitStack()
        config.add_cleanup(stack.close)
        parent = Path(tempfile.gettempdir()).resolve()
        # The processes among which pytest-xdist divides the tests inherit it.
        os.environ[_MODEL_CACHE] = str(stack.enter_context(model_cache.open_folder(parent)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: schedule.rank(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> schedule.Scheduler | None:
    if config.getoption("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False
    return schedule.Scheduler(config, log)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def database_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of the tests' PostgreSQL; make no table in the database that it names."""
    with databases.running(request.config.stash[_CHOICE], _TEST_DATABASE_URL) as url:
        yield url


@pytest.fixture(scope="session")
def template_database(database_server: str) -> Iterator[str]:
    """The name of a database with the schema of the newest schema migration."""
    from migrations import schema

    with databases.fresh(database_server) as url:
        databases.execute(url, "CREATE EXTENSION IF NOT EXISTS vector")
        schema.upgrade(url)
        yield databases.database_name(url)


@pytest.fixture
def database_url(database_server: str, template_database: str) -> Iterator[str]:
    """A migrated, empty database for this test alone: its URL for SQLAlchemy with psycopg."""
    with databases.fresh(database_server, template=template_database) as url:
        yield url


@pytest.fixture
def empty_database_url(database_server: str) -> Iterator[str]:
    """A database without a schema, not even the extension."""
    with databases.fresh(database_server) as url:
        yield url


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data directory for this test alone; as root too, PostgreSQL can work in it."""
    with databases.open_directory() as folder:
        yield folder / "data"


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    with processes.stranger() as process:
        yield process


@pytest.fixture(scope="session")
def static_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a small model that encodes a text in no time."""
    return models.wordllama_directory(tmp_path_factory.mktemp("static") / "wordllama")


@pytest.fixture(scope="session", name="model_cache")
def _model_cache() -> Path:
    """The cache of converted models for all tests and runs: a conversion takes 10 s or more.

    TEST_MODEL_CACHE names another folder.
    """
    return Path(os.environ[_MODEL_CACHE])
