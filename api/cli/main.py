"""The console script: the command group; each command imports what it needs when it runs."""

import traceback
from typing import Any

import click

from api import settings
from api.cli import (
    adopt,
    collections,
    database,
    doctor,
    documents,
    failure,
    migrate,
    models,
    search,
    serve,
    worker,
)


class Commands(click.Group):
    """Shows every failure as one message, and a trace only where debug logs are asked for."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, KeyboardInterrupt):
            raise
        except Exception as error:
            from indexing import errors

            cause = errors.first(error)
            if isinstance(cause, BrokenPipeError):  # `| head`: click ends without a word
                raise cause from None
            raise _explained(cause) from error


@click.group(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="vecmark", prog_name="vecmark", message="%(prog)s %(version)s")
def cli() -> None:
    """Turn documents into vectors, find the nearest, and know which model made each vector."""


for command in (
    serve.serve,
    worker.worker,
    documents.add,
    search.search,
    collections.collections,
    models.models,
    migrate.migrate,
    adopt.adopt,
    database.db,
    doctor.doctor,
):
    cli.add_command(command)
cli.add_command(documents.add, "index")


def main() -> None:
    cli.main()


def _explained(error: Exception) -> click.ClickException:
    if isinstance(error, click.ClickException):
        return error
    from embedding import errors as embedding_errors
    from storage import errors as storage_errors

    known = (embedding_errors.EmbeddingError, storage_errors.StorageError, settings.SettingsError)
    if isinstance(error, known):
        return failure.Failure(str(error))
    if isinstance(error, OSError):
        return failure.Failure(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "))
    if _debugging():
        traceback.print_exception(error)
    return failure.Failure(
        f"{type(error).__name__}: {error}\n"
        "This is not a failure that Vecmark knows; VECMARK_LOG_LEVEL=debug shows where it happened."
    )


def _debugging() -> bool:
    try:
        return settings.load().log_level == "debug"
    except settings.SettingsError:
        return False
