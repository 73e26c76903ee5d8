"""Reads JSON files of models, and says what is wrong with those that can't be read."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embedding import errors

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
MAX_JSON_BYTES = 256 * 1024 * 1024


def read_json(file: Path) -> Any:
    """The content of a JSON file; ModelInvalid if it is missing, damaged or a Git LFS pointer."""
    content = read_bytes(file)
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as exc:
        raise errors.ModelInvalid(file, f"not JSON: {exc}") from exc


def read_object(file: Path) -> dict[str, Any]:
    content = read_json(file)
    if not isinstance(content, dict):
        raise errors.ModelInvalid(file, f"holds a JSON {type(content).__name__}, not an object")
    return content


def read_optional(file: Path) -> dict[str, Any]:
    """The object in a file that not every model has; empty if there is no such file."""
    return read_object(file) if file.is_file() else {}


def read_bytes(file: Path) -> bytes:
    try:
        if file.stat().st_size > MAX_JSON_BYTES:
            raise errors.ModelInvalid(file, "too large for a configuration file")
        content = file.read_bytes()
    except FileNotFoundError as exc:
        raise errors.ModelInvalid(file, "the file is missing; copy the whole model again") from exc
    except OSError as exc:
        raise errors.ModelInvalid(file, f"can't be read: {exc.strerror}") from exc
    refuse_pointer(file, content)
    return content


def refuse_pointer(file: Path, content: bytes | memoryview) -> None:
    """Refuse what git leaves in place of a large file if Git LFS is not installed."""
    if bytes(content[: len(LFS_POINTER)]) == LFS_POINTER:
        raise errors.ModelInvalid(
            file, "a Git LFS pointer instead of the file itself; run `git lfs pull` in the clone"
        )


def whole_number(file: Path, content: Mapping[str, Any], key: str) -> int | None:
    """A number in a configuration; None if it is not set."""
    value = content.get(key)
    if value is None:
        return None
    # Some tokenizers write "no limit" as 1e30, as an int or a float.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise errors.ModelInvalid(file, f"{key} is {value!r}, not a whole number")
    return value
