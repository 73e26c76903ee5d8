"""The database that a command works on; starts the embedded PostgreSQL if it is that."""

import contextlib
from collections.abc import Iterator

from sqlalchemy.exc import DBAPIError

from api.cli import errors
from api.settings import Settings
from storage import engine
from storage.embedded import postgres


@contextlib.contextmanager
def open_database(settings: Settings) -> Iterator[str]:
    """Its URL; runs the embedded PostgreSQL while open. Raises Failure if it can't be used."""
    with contextlib.ExitStack() as stack:
        if settings.database_url is not None:
            url = engine.psycopg_url(settings.database_url)
        else:
            url = stack.enter_context(postgres.EmbeddedPostgres(settings.data_dir)).url
        try:
            yield url
        except DBAPIError as error:
            reason = " ".join(str(error.orig).split())
            raise errors.Failure(f"the database reported an error: {reason}") from error
