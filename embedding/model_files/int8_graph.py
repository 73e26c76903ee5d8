"""A model's int8 graph: like the weights it is part of the model's directory, and never a cache."""

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
    """The record of a quantisation, with its distance to torch fp32 (cosines of the canaries).

    `of` is the fingerprint of the same model in float, with the same options. `sha256` is the
    digest of the graph's files, `calibration` that of the texts.
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
    """Raises ModelInvalid if there is none; nothing is read."""
    if not exists(directory):
        raise errors.ModelInvalid(directory / FOLDER / RECORD, f"missing: {_advice(directory)}")


def read(directory: Path, *, of: str) -> Int8Graph:
    """The graph in a model's directory; ModelInvalid names a file that changed since it was made.

    `of`: the fingerprint of the model in float, with the requested options.
    """
    folder = directory / FOLDER
    require(directory)
    graph = _read_record(folder / RECORD)
    if graph.of != of:
        raise errors.ModelInvalid(
            folder / RECORD,
            f"was made from other weights or with other options; {_advice(directory)}",
        )
    for name in FILES:
        if (digest := _digest(folder / name)) != graph.files[name]:
            raise errors.ModelInvalid(
                folder / name,
                f"cut off or changed: its sha256 is {digest[:12]}..., but {RECORD} says"
                f" {graph.files[name][:12]}...; copy it again, or {_advice(directory)}",
            )
    return graph


def write(folder: Path, content: Mapping[str, Any]) -> None:
    """Write the record of files that are already there."""
    files = {name: _digest(folder / name) for name in FILES}
    (folder / RECORD).write_text(json.dumps({**content, "files": files}, indent=2))


def _advice(directory: Path) -> str:
    return f"run `vecmark models add {directory} --precision int8 --name NAME` to create it"


def _read_record(file: Path) -> Int8Graph:
    try:
        graph = msgspec.convert(json_files.read_object(file), Int8Graph)
    except msgspec.ValidationError as exc:
        raise errors.ModelInvalid(file, f"is not a record of a quantisation: {exc}") from exc
    if not set(FILES) <= set(graph.files):
        raise errors.ModelInvalid(file, "is not a record of a quantisation: a file has no digest")
    return graph


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as content:
            json_files.refuse_pointer(file, content.read(len(json_files.LFS_POINTER)))
            content.seek(0)
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as exc:
        raise errors.ModelInvalid(file, f"can't be read: {exc.strerror}") from exc
