"""Command line flags generated from the settings, so that each has one name everywhere."""

import os
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, get_args, get_origin

import click
import msgspec

from api import settings
from api.cli import errors
from storage.names import DEFAULT_COLLECTION

Command = TypeVar("Command", bound=Callable[..., Any])

SERVE = tuple(name for name in settings.FIELDS if name != "url")
WORKER = (
    "data_dir",
    "database_url",
    "model",
    "max_tokens",
    "query_prompt",
    "document_prompt",
    "model_roots",
    "device",
    "model_memory",
    "pool_size",
    "hnsw_min_rows",
    "target_recall",
    "log_level",
)
STORE = ("data_dir", "database_url")
CONNECTION = (*STORE, "url")
MODELS = (*STORE, "model_roots")


def options(names: Iterable[str]) -> Callable[[Command], Command]:
    """Add a flag for each named setting to a command."""

    def decorate(command: Command) -> Command:
        for name in reversed(tuple(names)):
            command = _option(name)(command)
        return command

    return decorate


def collection_option(text: str) -> Callable[[Command], Command]:
    """Add `--collection`, described by `text`, to a command."""
    return click.option(
        "-c", "--collection", default=DEFAULT_COLLECTION, show_default=True, help=text
    )


def json_option(command: Command) -> Command:
    """Add `--json` to a command."""
    text = "Print the service's answer as JSON."
    return click.option("--json", "as_json", is_flag=True, help=text)(command)


def chunking_options(command: Command) -> Command:
    """Add the options that say how texts are split into chunks."""
    for option in (
        click.option(
            "--chunk-overlap", type=click.IntRange(0), help="Overlap between chunks, in tokens."
        ),
        click.option("--chunk-size", type=click.IntRange(1), help="Maximum tokens per chunk."),
        click.option(
            "--chunking", type=click.Choice(["sentence", "none"]), help="How texts are split."
        ),
    ):
        command = option(command)
    return command


def chunking_fields(
    strategy: str | None, size: int | None, overlap: int | None
) -> dict[str, Any] | None:
    """The `chunking` of a request from those options, None without any."""
    parts = {"strategy": strategy, "size": size, "overlap": overlap}
    fields = {key: value for key, value in parts.items() if value is not None}
    return {"strategy": "sentence"} | fields if fields else None


def load(flags: dict[str, Any]) -> settings.Settings:
    """Settings from the environment and the flags. Raises Failure naming an invalid value."""
    if isinstance(roots := flags.get("model_roots"), str):
        flags = {**flags, "model_roots": [part for part in roots.split(os.pathsep) if part]}
    try:
        return settings.load(**flags)
    except settings.SettingsError as error:
        raise errors.Failure(str(error)) from error


def _option(name: str) -> Callable[[Command], Command]:
    metavar, description = _describe(name)
    flag = name.replace("_", "-")
    if bool in _flatten(settings.FIELDS[name].type):
        return click.option(
            f"--{flag}/--no-{flag}",
            name,
            default=None,
            help=f"{description} [{settings.variable(name)}]",
        )
    return click.option(
        "--" + name.replace("_", "-"),
        name,
        default=None,
        metavar=metavar,
        help=f"{description} [{settings.variable(name)}]",
    )


def _describe(name: str) -> tuple[str, str]:
    """The metavar and the description of a setting."""
    parts = _flatten(settings.FIELDS[name].type)
    texts = [part.description for part in parts if isinstance(part, msgspec.Meta)]
    is_number = int in parts or float in parts
    return ("NUMBER" if is_number else "TEXT"), next((text for text in texts if text), "")


def _flatten(kind: Any) -> list[Any]:
    if get_origin(kind) is None:
        return [kind]
    metadata = list(getattr(kind, "__metadata__", ()))
    return metadata + [inner for part in get_args(kind) for inner in _flatten(part)]
