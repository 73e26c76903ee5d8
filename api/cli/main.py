"""The console script: the command group, and one message for every failure."""

import traceback
from typing import Any

import click

from api import settings
from api.cli import errors, lazy
from embedding import errors as embedding_errors
from indexing import errors as indexing_errors
from storage import errors as storage_errors

_ADD = ("api.cli.documents:add", "Add or update documents from files or standard input.")
COMMANDS = {
    "add": _ADD,
    "index": _ADD,
    "adopt": (
        "api.cli.adopt.command:adopt",
        "Turn a pgvector table into a collection and keep its vectors.",
    ),
    "collections": (
        "api.cli.collections:collections",
        "List, show, create and delete collections.",
    ),
    "db": ("api.cli.database:db", "Upgrade and check the database schema."),
    "doctor": ("api.cli.doctor:doctor", "Check everything a service needs and suggest fixes."),
    "migrate": (
        "api.cli.migrate:migrate",
        "Move collections to another model or chunking, online.",
    ),
    "models": ("api.cli.models:models", "List, show, add, check and remove embedding models."),
    "search": ("api.cli.search:search", "Find the documents closest in meaning to WORDS."),
    "serve": ("api.cli.serve:serve", "Run the service until it is interrupted."),
    "worker": ("api.cli.worker:worker", "Run a worker for migrations and pending embeddings."),
}


class Commands(lazy.LazyGroup):
    """Prints every failure as one message, with a traceback only if debug logs are on."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, KeyboardInterrupt):
            raise
        except Exception as error:
            cause = indexing_errors.first(error)
            if isinstance(cause, BrokenPipeError):  # `| head`: click exits without a message
                raise cause from None
            raise _to_click(cause) from error


@click.group(
    cls=Commands,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="vecmark", prog_name="vecmark", message="%(prog)s %(version)s")
def cli() -> None:
    """Turn documents into vectors, search them, and know which model made each vector."""


def main() -> None:
    cli.main()


def _to_click(error: Exception) -> click.ClickException:
    if isinstance(error, click.ClickException):
        return error
    expected = (
        embedding_errors.EmbeddingError,
        storage_errors.StorageError,
        settings.SettingsError,
    )
    if isinstance(error, expected):
        return errors.Failure(str(error))
    if isinstance(error, OSError):
        return errors.Failure(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "))
    if _is_debugging():
        traceback.print_exception(error)
    return errors.Failure(
        f"{type(error).__name__}: {error}\n"
        "This is an unexpected error; set VECMARK_LOG_LEVEL=debug to see its traceback."
    )


def _is_debugging() -> bool:
    try:
        return settings.load().log_level == "debug"
    except settings.SettingsError:
        return False
