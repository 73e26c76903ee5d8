import hashlib
import io
import json
import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import numpy as np

from embedding import errors
from embedding.model_files import json_files, space

SINGLE = "model.safetensors"
SHARDED = "model.safetensors.index.json"
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")

# The format allows no header above 100 MB, so a larger length means damage.
MAX_HEADER_BYTES = 100_000_000
LENGTH_BYTES = 8
BLOCK_BYTES = 1 << 20
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "U16": 16, "I16": 16, "F16": 16,
    "BF16": 16, "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64,
}  # fmt: skip

# Buffers that are computed from the configuration: older versions wrote them, newer ones don't.
POSITION_IDS = re.compile(r"(^|\.)position_ids$")
TOKEN_TYPE_IDS = re.compile(r"(^|\.)embeddings\.token_type_ids$")
INVERSE_FREQUENCIES = re.compile(r"(^|\.)rotary_emb\.([a-z_]+_)?(original_)?inv_freq$")


@dataclass(frozen=True)
class Tensor:
    name: str
    dtype: str
    shape: tuple[int, ...]
    sha256: str


@dataclass(frozen=True)
class Checkpoint:
    """The weights of one module; `file` is the one to name when they contradict something."""

    file: Path
    tensors: Mapping[str, Tensor]

    def shape(self, suffix: str) -> tuple[int, ...] | None:
        """The shape of the one tensor with this name, whatever stands before it."""
        found = [
            tensor.shape
            for name, tensor in self.tensors.items()
            if name == suffix or name.endswith(f".{suffix}")
        ]
        return found[0] if len(found) == 1 else None

    def summary(self) -> dict[str, space.Json]:
        """What of the weights goes into the manifest: one digest over all, whatever their order."""
        rows: list[space.Json] = [
            [name, tensor.dtype, list(tensor.shape), tensor.sha256]
            for name, tensor in sorted(self.tensors.items())
        ]
        return {
            "tensors": len(rows),
            "parameters": sum(math.prod(tensor.shape) for tensor in self.tensors.values()),
            "dtypes": sorted({tensor.dtype for tensor in self.tensors.values()}),
            "sha256": space.digest(rows),
        }


def read(folder: Path) -> Checkpoint:
    """Hash every tensor of a module's safetensors file or shards; nothing is loaded."""
    if (folder / SINGLE).is_file():
        return Checkpoint(folder / SINGLE, dict(_tensors(folder / SINGLE)))
    if (folder / SHARDED).is_file():
        return _read_shards(folder / SHARDED)
    for name in PICKLES:
        if (folder / name).is_file():
            raise errors.ModelInvalid(
                folder / name,
                "weights as a pickle are not read, because a pickle can run any code; save the"
                f" model again with safe_serialization=True, which writes {SINGLE}",
            )
    raise errors.ModelInvalid(folder / SINGLE, "the weights are missing; copy the model again")


def _read_shards(index: Path) -> Checkpoint:
    weight_map = json_files.read_object(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise errors.ModelInvalid(index, "has no weight_map")
    tensors: dict[str, Tensor] = {}
    for name in sorted({str(value) for value in weight_map.values()}):
        shard = index.parent / name
        if Path(name).name != name:
            raise errors.ModelInvalid(index, f"names a shard outside its folder: {name}")
        if not shard.is_file():
            raise errors.ModelInvalid(shard, f"{index.name} names this shard, but it is missing")
        tensors.update(_tensors(shard))
    missing = sorted(set(weight_map) - set(tensors))
    if missing:
        raise errors.ModelInvalid(index, f"no shard holds the tensor {missing[0]}")
    return Checkpoint(index, tensors)


def _tensors(file: Path) -> Iterable[tuple[str, Tensor]]:
    # Read, not mapped into memory: a file that is overwritten in place meanwhile would end the
    # process with SIGBUS, and reading costs 20 ms for 90 MB.
    try:
        with file.open("rb", buffering=0) as handle:
            yield from _scan(file, handle, os.fstat(handle.fileno()).st_size)
    except OSError as exc:
        raise errors.ModelInvalid(file, f"can't be read: {exc.strerror}") from exc


def _scan(file: Path, handle: io.FileIO, size: int) -> Iterable[tuple[str, Tensor]]:
    header, start = _header(file, handle, size)
    end = 0
    for name, entry in sorted(header.items(), key=lambda item: _offsets(file, *item)):
        dtype, shape = _kind(file, name, entry)
        first, last = _offsets(file, name, entry)
        if first != end or last - first != math.prod(shape) * BITS[dtype] // 8:
            raise errors.ModelInvalid(file, f"the header contradicts itself at the tensor {name}")
        end = last
        if start + last > size:
            raise errors.ModelInvalid(
                file,
                f"cut off: {size} bytes, but the tensor {name} ends at {start + last};"
                " copy or download it again",
            )
        sha256, values = _read(file, handle, last - first)
        if not _computed(name, dtype, values):
            yield name, Tensor(name, dtype, shape, sha256)
    if start + end != size:
        raise errors.ModelInvalid(file, f"{size - start - end} bytes follow the last tensor")


def _read(file: Path, handle: io.FileIO, length: int) -> tuple[str, bytes]:
    """The digest of the next bytes, and the bytes themselves where they are few."""
    digest = hashlib.sha256()
    block = memoryview(bytearray(min(length, BLOCK_BYTES)))
    left = length
    while left:
        count = handle.readinto(block[: min(left, len(block))])
        if not count:
            raise errors.ModelInvalid(file, "became shorter while it was read; try again")
        digest.update(block[:count])
        left -= count
    return digest.hexdigest(), bytes(block) if length <= BLOCK_BYTES else b""


def _header(file: Path, handle: io.FileIO, size: int) -> tuple[dict[str, object], int]:
    if size < LENGTH_BYTES:
        raise errors.ModelInvalid(file, f"only {size} bytes long; copy or download it again")
    json_files.refuse_pointer(file, handle.read(len(json_files.LFS_POINTER)))
    handle.seek(0)
    length = int.from_bytes(handle.read(LENGTH_BYTES), "little")
    if length > MAX_HEADER_BYTES or LENGTH_BYTES + length > size:
        raise errors.ModelInvalid(
            file,
            f"not a whole safetensors file: its header claims {length} bytes of {size};"
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
    if not _counts(offsets):
        raise errors.ModelInvalid(file, f"no data_offsets for the tensor {name}")
    match offsets:
        case [first, last]:
            return first, last
    raise errors.ModelInvalid(file, f"{len(offsets)} data_offsets for the tensor {name}, not 2")


def _kind(file: Path, name: str, entry: object) -> tuple[str, tuple[int, ...]]:
    dtype = entry.get("dtype") if isinstance(entry, dict) else None
    shape = entry.get("shape") if isinstance(entry, dict) else None
    if dtype not in BITS or not _counts(shape):
        raise errors.ModelInvalid(
            file, f"unknown kind of tensor: {name} has dtype {dtype!r}, shape {shape!r}"
        )
    return dtype, tuple(shape)


def _counts(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _computed(name: str, dtype: str, data: bytes) -> bool:
    """Whether a tensor only repeats what the configuration says, and so may be there or not."""
    if INVERSE_FREQUENCIES.search(name):
        return True
    if dtype != "I64" or not data:
        return False
    values = np.frombuffer(data, dtype="<i8")
    if POSITION_IDS.search(name):
        return bool(np.array_equal(values, np.arange(len(values))))
    return bool(TOKEN_TYPE_IDS.search(name) and not values.any())
