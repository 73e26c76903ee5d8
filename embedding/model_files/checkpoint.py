"""The weights of a module: every tensor of its safetensors file or shards, with its digest."""

import hashlib
import io
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embedding import errors
from embedding.model_files import json_files, safetensors_file, space

SINGLE = "model.safetensors"
SHARDED = "model.safetensors.index.json"
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")

BLOCK_BYTES = 1 << 20

# Buffers that are computed from the configuration: older versions wrote them, newer ones don't.
POSITION_IDS = re.compile(r"(^|\.)position_ids$")
TOKEN_TYPE_IDS = re.compile(r"(^|\.)embeddings\.token_type_ids$")
INVERSE_FREQUENCIES = re.compile(r"(^|\.)rotary_emb\.([a-z_]+_)?(original_)?inv_freq$")


@dataclass(frozen=True)
class Tensor:
    """A tensor's identity: its bytes are only known by their digest."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    sha256: str


@dataclass(frozen=True)
class Checkpoint:
    """The weights of one module; `file` is the one to name in an error about them."""

    file: Path
    tensors: Mapping[str, Tensor]

    def shape(self, suffix: str) -> tuple[int, ...] | None:
        """The shape of the only tensor with this name, under any prefix; else None."""
        shapes = [
            tensor.shape
            for name, tensor in self.tensors.items()
            if name == suffix or name.endswith(f".{suffix}")
        ]
        return shapes[0] if len(shapes) == 1 else None

    def summary(self) -> dict[str, space.Json]:
        """The manifest's part for the weights: one digest over all, whatever their order."""
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
        return Checkpoint(folder / SINGLE, dict(_hash_tensors(folder / SINGLE)))
    if (folder / SHARDED).is_file():
        return _read_shards(folder / SHARDED)
    for name in PICKLES:
        if (folder / name).is_file():
            raise errors.ModelInvalid(
                folder / name,
                "pickled weights are not read, because a pickle can run any code; save the model"
                f" again with safe_serialization=True, which writes {SINGLE}",
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
        tensors.update(_hash_tensors(shard))
    missing = sorted(set(weight_map) - set(tensors))
    if missing:
        raise errors.ModelInvalid(index, f"no shard holds the tensor {missing[0]}")
    return Checkpoint(index, tensors)


def _hash_tensors(file: Path) -> Iterator[tuple[str, Tensor]]:
    # Read, not mapped into memory: if another process overwrote a mapped file in place, that would
    # end this process with SIGBUS; and reading costs only 20 ms for 90 MB.
    with safetensors_file.open_file(file) as handle:
        for entry in safetensors_file.read_header(file, handle):
            sha256, values = _hash_bytes(file, handle, entry.end - entry.start)
            if not _is_computed(entry.name, entry.dtype, values):
                yield entry.name, Tensor(entry.name, entry.dtype, entry.shape, sha256)


def _hash_bytes(file: Path, handle: io.FileIO, length: int) -> tuple[str, bytes]:
    """The digest of the next bytes, and the bytes themselves if they are few."""
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


def _is_computed(name: str, dtype: str, data: bytes) -> bool:
    """Whether a tensor only repeats what the configuration says, so that not every save has it."""
    if INVERSE_FREQUENCIES.search(name):
        return True
    if dtype != "I64" or not data:
        return False
    values = np.frombuffer(data, dtype="<i8")
    if POSITION_IDS.search(name):
        return bool(np.array_equal(values, np.arange(len(values))))
    return bool(TOKEN_TYPE_IDS.search(name) and not values.any())
