"""The PostgreSQL that Vecmark runs itself: one per data directory, shared by its users."""

import threading
import urllib.parse
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

from storage.embedded import accounts, configuration, errors, layout, locks, postmaster, server

DATABASE = "vecmark"


class EmbeddedPostgres:
    """PostgreSQL with pgvector under `data_dir`, which runs while anyone uses it.

    Any number of processes can share a data directory: the first start starts the server, the last
    clean stop stops it. A killed process leaves it running, and the next process finds it.
    All methods block (call them in a thread) and can be called from any thread.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        overrides: Mapping[str, str] | None = None,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`overrides` are PostgreSQL's settings; `report` gets what a long start waits for."""
        self._place = layout.Layout.under(data_dir)
        self._overrides = dict(overrides or {})
        self._report = report
        self._share: locks.Share | None = None
        self._socket_dir: Path | None = None
        self._guard = threading.Lock()

    def start(self) -> str:
        """SQLAlchemy's URL of the database, once it accepts connections. Raises EmbeddedError.

        The database has pgvector; its schema is up to the caller.
        """
        with self._guard:
            account = accounts.current()
            layout.make(self._place, account)
            with locks.exclusive(self._place.start_lock):
                self._socket_dir = self._run(account)
                if self._share is None:
                    self._share = locks.Share(self._place.users_lock)
            return self._url()

    def ensure_running(self) -> bool:
        """After a lost connection: start the server again if it died; returns whether it had."""
        with self._guard:
            if self._share is None or server.running(self._place):
                return False
            account = accounts.current()
            with locks.exclusive(self._place.start_lock):
                if server.running(self._place):
                    return False
                self._socket_dir = self._run(account)
            return True

    def stop(self) -> bool:
        """Stop using it; True if nobody else does, so that the server was stopped."""
        with self._guard:
            if self._share is None:
                return False
            with locks.exclusive(self._place.start_lock):
                last = self._share.is_last()
                if last:
                    server.stop(self._place)
                self._share.release()
            self._share = self._socket_dir = None
            return last

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The same for as long as it is used, even after `ensure_running` had to start it again."""
        return self._url()

    def _url(self) -> str:
        if self._socket_dir is None:
            raise RuntimeError("the embedded PostgreSQL is not started")
        host = urllib.parse.quote(str(self._socket_dir), safe="/")
        return (
            f"postgresql+psycopg://{postmaster.SUPERUSER}@/{DATABASE}"
            f"?host={host}&port={configuration.PORT}"
        )

    def _run(self, account: accounts.Account) -> Path:
        socket_dir = server.run(
            self._place, account, overrides=self._overrides, report=self._report
        )
        try:
            _make_database(socket_dir)
        except psycopg.Error as error:
            raise errors.StartFailed(
                f"PostgreSQL runs, but its database {DATABASE} cannot be used: {error}"
            ) from error
        return socket_dir


def _make_database(socket_dir: Path) -> None:
    with _connect(socket_dir, "postgres") as connection:
        database = connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE])
        if database.fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    with _connect(socket_dir, DATABASE) as connection:
        versions = connection.execute(
            "SELECT installed_version, default_version FROM pg_available_extensions"
            " WHERE name = 'vector'"
        ).fetchone()
        if versions is None or versions[0] is None:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        elif versions[0] != versions[1]:
            connection.execute("ALTER EXTENSION vector UPDATE")


def _connect(socket_dir: Path, database: str) -> psycopg.Connection[tuple[str, ...]]:
    return psycopg.connect(
        host=str(socket_dir),
        port=configuration.PORT,
        user=postmaster.SUPERUSER,
        dbname=database,
        autocommit=True,
    )
