"""Reads the safetensors format: a file's header, or all of its tensors."""

import contextlib
import io
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from embedding import errors
from embedding.model_files import json_files

# The format allows no header above 100 MB, so a larger length means damage.
MAX_HEADER_BYTES = 100_000_000
LENGTH_BYTES = 8
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "U16": 16, "I16": 16, "F16": 16,
    "BF16": 16, "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64,
}  # fmt: skip
# The types that numpy has and that tables of embeddings come in.
NUMPY_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4"}


@dataclass(frozen=True)
class Entry:
    """A tensor as the header describes it; `start` and `end` in bytes after the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@contextlib.contextmanager
def open_file(file: Path) -> Iterator[io.FileIO]:
    """The file to read from; ModelInvalid if opening or reading it fails."""
    try:
        with file.open("rb", buffering=0) as handle:
            yield handle
    except OSError as exc:
        raise errors.ModelInvalid(file, f"can't be read: {exc.strerror}") from exc


def read_header(file: Path, handle: io.FileIO) -> list[Entry]:
    """The tensors in the order of their bytes, which fill the rest of the file without a gap.

    Leaves `handle` at the first tensor. ModelInvalid if the file is cut off or damaged.
    """
    size = os.fstat(handle.fileno()).st_size
    header, first_byte = _read_json(file, handle, size)
    entries = []
    end = 0
    for name, content in sorted(header.items(), key=lambda item: _offsets(file, *item)):
        dtype, shape = _type_and_shape(file, name, content)
        entry = Entry(name, dtype, shape, *_offsets(file, name, content))
        if entry.start != end or entry.end - entry.start != math.prod(shape) * BITS[dtype] // 8:
            raise errors.ModelInvalid(file, f"the header contradicts itself at the tensor {name}")
        end = entry.end
        if first_byte + end > size:
            raise errors.ModelInvalid(
                file,
                f"cut off: {size} bytes, but the tensor {name} ends at {first_byte + end};"
                " copy or download it again",
            )
        entries.append(entry)
    if first_byte + end != size:
        raise errors.ModelInvalid(file, f"{size - first_byte - end} bytes follow the last tensor")
    return entries


def dtypes(file: Path) -> set[str]:
    """The types of a file's tensors; ModelInvalid."""
    with open_file(file) as handle:
        return {entry.dtype for entry in read_header(file, handle)}


def load(file: Path) -> dict[str, NDArray[np.generic]]:
    """All tensors of a file whose types are in NUMPY_TYPES; ModelInvalid.

    Read, not mapped into memory: if another process overwrote a mapped file in place, that would
    change the vectors or end this process with SIGBUS.
    """
    with open_file(file) as handle:
        entries = read_header(file, handle)
        try:
            content = np.fromfile(handle, dtype=np.uint8)
            return {
                entry.name: content[entry.start : entry.end]
                .view(NUMPY_TYPES[entry.dtype])
                .reshape(entry.shape)
                for entry in entries
            }
        except (ValueError, KeyError) as exc:
            raise errors.ModelInvalid(file, f"can't be read as a table: {exc}") from exc


def _read_json(file: Path, handle: io.FileIO, size: int) -> tuple[dict[str, object], int]:
    """The header and the offset of the first byte after it."""
    if size < LENGTH_BYTES:
        raise errors.ModelInvalid(file, f"only {size} bytes long; copy or download it again")
    json_files.refuse_pointer(file, handle.read(len(json_files.LFS_POINTER)))
    handle.seek(0)
    length = int.from_bytes(handle.read(LENGTH_BYTES), "little")
    if length > MAX_HEADER_BYTES or LENGTH_BYTES + length > size:
        raise errors.ModelInvalid(
            file,
            f"not a complete safetensors file: its header claims {length} bytes of {size};"
            " copy or download it again",
        )
    try:
        header = json.loads(handle.read(length))
    except (ValueError, RecursionError) as exc:
        raise errors.ModelInvalid(file, f"the safetensors header is not JSON: {exc}") from exc
    if not isinstance(header, dict):
        raise errors.ModelInvalid(file, "the safetensors header is not an object")
    header.pop("__metadata__", None)
    return header, LENGTH_BYTES + length


def _offsets(file: Path, name: str, entry: object) -> tuple[int, int]:
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    if not _is_counts(offsets):
        raise errors.ModelInvalid(file, f"no data_offsets for the tensor {name}")
    match offsets:
        case [first, last]:
            return first, last
    raise errors.ModelInvalid(file, f"{len(offsets)} data_offsets for the tensor {name}, not 2")


def _type_and_shape(file: Path, name: str, entry: object) -> tuple[str, tuple[int, ...]]:
    dtype = entry.get("dtype") if isinstance(entry, dict) else None
    shape = entry.get("shape") if isinstance(entry, dict) else None
    if dtype not in BITS or not _is_counts(shape):
        raise errors.ModelInvalid(
            file, f"unknown kind of tensor: {name} has dtype {dtype!r}, shape {shape!r}"
        )
    return dtype, tuple(shape)


def _is_counts(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)
