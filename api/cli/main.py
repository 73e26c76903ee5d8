"""The console script: the command group; each command imports what it needs when it runs."""

import traceback
from typing import Any

import click

from api import settings
from api.cli import errors as cli_errors
from api.cli import lazy

_ADD = (
    "api.cli.documents:add",
    "Add or update documents from JSON Lines, CSV, text and Markdown files.",
)
COMMANDS = {
    "add": _ADD,
    "index": _ADD,
    "adopt": (
        "api.cli.adopt:adopt",
        "Make a collection of a pgvector table whose model is unknown or only claimed.",
    ),
    "collections": (
        "api.cli.collections:collections",
        "Show, make and delete collections; alone, list them.",
    ),
    "db": ("api.cli.database:db", "Look after the database's schema."),
    "doctor": (
        "api.cli.doctor:doctor",
        "Check all that a service needs, and say what to do about what is missing.",
    ),
    "migrate": (
        "api.cli.migrate:migrate",
        "Move collections to another model or chunking while they serve; alone, list migrations.",
    ),
    "models": (
        "api.cli.models:models",
        "Show, add and check embedding models; alone, list them.",
    ),
    "search": ("api.cli.search:search", "Find the documents nearest in meaning to WORDS."),
    "serve": ("api.cli.serve:serve", "Run the service until it is interrupted."),
    "worker": (
        "api.cli.serve:worker",
        "Work on migrations and on what waits to be embedded, until it is interrupted.",
    ),
}


class Commands(lazy.LazyGroup):
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
    cls=Commands,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="vecmark", prog_name="vecmark", message="%(prog)s %(version)s")
def cli() -> None:
    """Turn documents into vectors, find the nearest, and know which model made each vector."""


def main() -> None:
    cli.main()


def _explained(error: Exception) -> click.ClickException:
    if isinstance(error, click.ClickException):
        return error
    from embedding import errors as embedding_errors
    from storage import errors as storage_errors

    known = (embedding_errors.EmbeddingError, storage_errors.StorageError, settings.SettingsError)
    if isinstance(error, known):
        return cli_errors.Failure(str(error))
    if isinstance(error, OSError):
        return cli_errors.Failure(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "))
    if _debugging():
        traceback.print_exception(error)
    return cli_errors.Failure(
        f"{type(error).__name__}: {error}\n"
        "This is not a failure that Vecmark knows; VECMARK_LOG_LEVEL=debug shows where it happened."
    )


def _debugging() -> bool:
    try:
        return settings.load().log_level == "debug"
    except settings.SettingsError:
        return False
