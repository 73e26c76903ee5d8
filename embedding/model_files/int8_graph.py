"""A model's graph in int8: part of the model like its weights, in its directory, never a cache."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from embedding import errors
from embedding.model_files import json_files, space

FOLDER = "int8"
GRAPH, WEIGHTS, REFERENCE, RECORD = "model.xml", "model.bin", "reference.npy", "quantization.json"
CONTENT = (GRAPH, WEIGHTS)
FILES = (*CONTENT, REFERENCE)


@dataclass(frozen=True)
class Int8Graph:
    """What was made, of what, and how near it is to torch fp32 (cosines of the canaries).

    `of` is the fingerprint of the same model with the same options in float; `sha256` is that of
    the graph's files, and `calibration` that of the texts.
    """

    of: str
    calibration: str
    texts: int
    preset: str
    worst_natural: float
    worst_edge: float
    mean: float
    versions: Mapping[str, str] = field(hash=False)
    files: Mapping[str, str] = field(hash=False)

    @property
    def sha256(self) -> str:
        return space.digest({name: self.files[name] for name in CONTENT})

    def describe(self) -> str:
        return (
            f"cosine to torch fp32 {self.mean:.4f} on average, at worst {self.worst_natural:.4f}"
            f" (natural), {self.worst_edge:.4f} (edge)"
        )


def exists(directory: Path) -> bool:
    return (directory / FOLDER / RECORD).is_file()


def require(directory: Path) -> None:
    """ModelInvalid where there is none: `read` without reading."""
    if not exists(directory):
        raise errors.ModelInvalid(directory / FOLDER / RECORD, f"missing: {_advice(directory)}")


def read(directory: Path, *, of: str) -> Int8Graph:
    """The graph of a model's directory, each file as it was written; ModelInvalid says which isn't.

    `of`: the fingerprint of the model in float, under the options asked for.
    """
    folder = directory / FOLDER
    require(directory)
    found = _record(folder / RECORD)
    if found.of != of:
        raise errors.ModelInvalid(
            folder / RECORD,
            f"was made of other weights, or with other options; {_advice(directory)}",
        )
    for name in FILES:
        if (made := _digest(folder / name)) != found.files[name]:
            raise errors.ModelInvalid(
                folder / name,
                f"cut off or changed: its sha256 is {made[:12]}..., {RECORD} says"
                f" {found.files[name][:12]}...; copy it again, or {_advice(directory)}",
            )
    return found


def write(folder: Path, content: Mapping[str, Any]) -> None:
    """Record what was made; the files are there already."""
    files = {name: _digest(folder / name) for name in FILES}
    (folder / RECORD).write_text(json.dumps({**content, "files": files}, indent=2))


def _advice(directory: Path) -> str:
    return f"run `vecmark models add {directory} --precision int8 --name NAME` to make it"


def _record(file: Path) -> Int8Graph:
    try:
        found = msgspec.convert(json_files.read_object(file), Int8Graph)
    except msgspec.ValidationError as exc:
        raise errors.ModelInvalid(file, f"is no record of a quantisation: {exc}") from exc
    if not set(FILES) <= set(found.files):
        raise errors.ModelInvalid(file, "is no record of a quantisation: a file has no digest")
    return found


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as content:
            json_files.refuse_pointer(file, content.read(len(json_files.LFS_POINTER)))
            content.seek(0)
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as exc:
        raise errors.ModelInvalid(file, f"can't be read: {exc.strerror}") from exc
