"""Command line flags made from the settings, so that each has one name everywhere."""

import os
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, get_args, get_origin

import click
import msgspec

from api import settings
from api.cli import errors

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


def load(flags: dict[str, Any]) -> settings.Settings:
    """Settings from the environment and the flags given; Failure naming what can't be used."""
    if isinstance(roots := flags.get("model_roots"), str):
        flags = {**flags, "model_roots": [part for part in roots.split(os.pathsep) if part]}
    try:
        return settings.load(**flags)
    except settings.SettingsError as error:
        raise errors.Failure(str(error)) from error


def _option(name: str) -> Callable[[Command], Command]:
    metavar, about = _meaning(name)
    flag = name.replace("_", "-")
    if bool in _flatten(settings.FIELDS[name].type):
        return click.option(
            f"--{flag}/--no-{flag}",
            name,
            default=None,
            help=f"{about} [{settings.variable(name)}]",
        )
    return click.option(
        "--" + name.replace("_", "-"),
        name,
        default=None,
        metavar=metavar,
        help=f"{about} [{settings.variable(name)}]",
    )


def _meaning(name: str) -> tuple[str, str]:
    meta = next((part for part in _flatten(settings.FIELDS[name].type) if _is_about(part)), None)
    kinds = [part for part in _flatten(settings.FIELDS[name].type) if isinstance(part, type)]
    number = next((kind for kind in kinds if kind in {int, float}), None)
    return ("NUMBER" if number else "TEXT"), (meta.description or "" if meta else "")


def _is_about(part: object) -> bool:
    return isinstance(part, msgspec.Meta) and part.description is not None


def _flatten(kind: Any) -> list[Any]:
    if get_origin(kind) is None:
        return [kind]
    metadata = list(getattr(kind, "__metadata__", ()))
    return metadata + [inner for part in get_args(kind) for inner in _flatten(part)]
