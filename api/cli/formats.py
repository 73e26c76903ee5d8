"""Documents in files: JSON Lines, CSV, plain text and Markdown; or JSON Lines on standard input."""

import csv
import io
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from api.cli import errors

LINES = frozenset({".jsonl", ".ndjson"})
TABLES = frozenset({".csv"})
TEXTS = frozenset({".txt", ".md", ".markdown"})
SUFFIXES = LINES | TABLES | TEXTS


@dataclass(frozen=True)
class Fields:
    """Which fields of a record are its text and its id; empty means the usual names."""

    text: Sequence[str] = ()
    id: str | None = None


@dataclass(frozen=True)
class InputRecord:
    """A document to send, or why a record isn't one; `place` is shown to people."""

    place: str
    document: dict[str, Any] | None = None
    error: str | None = None


def find(path: Path) -> list[Path]:
    """The files that a path names, sorted; in a directory, only known kinds that aren't hidden."""
    if path.is_dir():
        return sorted(
            file
            for file in path.rglob("*")
            if file.suffix.lower() in SUFFIXES
            and file.is_file()
            and not any(part.startswith(".") for part in file.relative_to(path).parts)
        )
    if not path.exists():
        raise errors.Failure(f"{path}: no such file or directory")
    if path.suffix.lower() not in SUFFIXES:
        kinds = ", ".join(sorted(SUFFIXES))
        raise errors.Failure(f"{path}: unknown file type; use one of {kinds} (or - for JSON Lines)")
    return [path]


def count(path: Path) -> int:
    """How many records a file holds, without parsing them."""
    kind = path.suffix.lower()
    if kind in TEXTS:
        return 1
    if kind in LINES:
        with _readable_errors(path), path.open("rb") as file:
            return sum(1 for line in file if line.strip())
    with _readable_errors(path), _open(path) as file:
        return max(sum(1 for row in _rows(file) if row) - 1, 0)


def read(path: Path, name: str, fields: Fields) -> Iterator[InputRecord]:
    """The records of a file; if they carry no ids, those are derived from `name`."""
    kind = path.suffix.lower()
    with _readable_errors(path):
        if kind in TEXTS:
            yield _read_text(path, name)
            return
        with _open(path) as file:
            if kind in LINES:
                yield from _from_lines(file, name, fields, derive=True)
            else:
                yield from _from_table(file, name, fields)


def read_stdin(fields: Fields) -> Iterator[InputRecord]:
    """JSON Lines from standard input; the service gives ids to records without one."""
    file = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", errors="surrogateescape")
    yield from _from_lines(file, "-", fields, derive=False)


@contextmanager
def _readable_errors(path: Path) -> Iterator[None]:
    """A file that can't be read becomes a Failure that names it."""
    try:
        yield
    except OSError as error:
        raise errors.Failure(f"{path}: {error.strerror or error}") from error
    except csv.Error as error:
        raise errors.Failure(f"{path}: not a CSV table ({error})") from error


@contextmanager
def _open(path: Path) -> Iterator[TextIO]:
    # Bytes that aren't UTF-8 become lone surrogates, which are reported with their record.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        yield file


def _read_text(path: Path, name: str) -> InputRecord:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        return InputRecord(name, error=f"not UTF-8 text ({error.reason} at byte {error.start})")
    return InputRecord(name, {"id": name, "text": text})


def _from_lines(file: TextIO, name: str, fields: Fields, *, derive: bool) -> Iterator[InputRecord]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        place = f"{name}:{number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield InputRecord(place, error=f"not JSON ({error})")
            continue
        if not isinstance(value, dict):
            yield InputRecord(place, error="not a JSON object")
            continue
        yield _shape(value, place, fields, default_id=f"{name}#{number}" if derive else None)


def _from_table(file: TextIO, name: str, fields: Fields) -> Iterator[InputRecord]:
    rows = _rows(file)
    header = next(rows, [])
    fields = _table_fields(header, name, fields)
    for number, row in enumerate((row for row in rows if row), 1):
        place = f"{name}: row {number}"
        if len(row) != len(header):
            reason = f"{len(row)} columns where the header has {len(header)}"
            yield InputRecord(place, error=reason)
            continue
        value = dict(zip(header, row, strict=True))
        yield _shape(value, place, fields, default_id=f"{name}#{number}")


def _rows(file: TextIO) -> Iterator[list[str]]:
    csv.field_size_limit(2**31 - 1)
    return csv.reader(file)


def _table_fields(header: list[str], name: str, fields: Fields) -> Fields:
    missing = [field for field in (*fields.text, fields.id or "") if field and field not in header]
    if missing or not (fields.text or "text" in header or len(header) == 1):
        wanted = missing[0] if missing else "text"
        columns = ", ".join(header) or "none"
        raise errors.Failure(
            f"{name}: no column {wanted}; its columns: {columns} "
            "(choose with --text-field and --id-field)"
        )
    if not fields.text and "text" not in header:
        return Fields((header[0],), fields.id)
    return fields


def _shape(
    value: dict[str, Any], place: str, fields: Fields, default_id: str | None
) -> InputRecord:
    """The document in a record: text, id, `metadata` and all other fields as metadata."""
    names = tuple(fields.text) or ("text",)
    id_name = fields.id or ("id" if "id" in value or "_id" not in value else "_id")
    missing = [name for name in names if name not in value]
    if missing:
        return InputRecord(place, error=f"no field {missing[0]} (choose with --text-field)")
    texts = [value[name] for name in names]
    if not all(isinstance(text, str) for text in texts):
        return InputRecord(place, error="the text is not a string")
    if not _is_utf8(value):
        return InputRecord(place, error="not UTF-8 text")
    if not isinstance(id_ := value.get(id_name), str | int | None):
        return InputRecord(place, error=f"the field {id_name} is neither a string nor a number")
    document: dict[str, Any] = {"text": "\n".join(text for text in texts if text)}
    if (document_id := default_id if id_ in {None, ""} else str(id_)) is not None:
        document["id"] = document_id
    metadata = {key: part for key, part in value.items() if key not in {*names, id_name}}
    if isinstance(own := metadata.get("metadata"), dict):
        del metadata["metadata"]
        metadata |= own
    return InputRecord(place, document | ({"metadata": metadata} if metadata else {}))


def _is_utf8(value: dict[str, Any]) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
