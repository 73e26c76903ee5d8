import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedding import errors
from embedding.encoders import encoder
from embedding.model_files import description
from embedding.text import tokenizer

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4"}
Entry = dict[str, Any]
Array = NDArray[np.generic]


class StaticEncoder:
    """The mean of a table's rows, as StaticEmbedding does; the table stays in its file's pages."""

    backend = "static"
    dtype = "f32"
    query_apart = True
    lanes = 1
    batch_rows = 256
    batch_tokens = 256 * 512

    def __init__(self, file: Path, *, dimensions: int) -> None:
        tensors = _map(file)
        self._dimensions = dimensions
        # model2vec's own names; its tables may be shared between tokens, and weighted.
        table = tensors["embedding.weight" if "embedding.weight" in tensors else "embeddings"]
        self._table: Array = table
        self._mapping = tensors.get("mapping")
        self._weights = tensors.get("weights")

    def query(self, rows: encoder.Rows, pooled_from: int) -> encoder.Vectors:
        return np.stack([self._mean(row) for row in rows])

    def bulk(self, rows: encoder.Rows, pooled_from: int) -> encoder.Vectors:
        return self.query(rows, pooled_from)

    def close(self) -> None:
        """Nothing to give back: the file's pages go with the last reference."""

    def _mean(self, ids: tokenizer.Ids) -> NDArray[np.float32]:
        if not len(ids):
            raise errors.EncoderFailed("the text has no token in the model's table")
        places = ids if self._mapping is None else self._mapping[ids].astype(np.int64)
        rows = self._table[places].astype(np.float32)
        if self._weights is not None:
            rows *= self._weights[ids].astype(np.float32)[:, None]
        mean: NDArray[np.float32] = rows.mean(axis=0)[: self._dimensions]
        return mean


def can_read(model: description.ModelDescription) -> bool:
    """If this encoder gives the model's vectors: a table that is mapped, and nothing behind it."""
    kinds = [module.kind for module in model.modules]
    if kinds[0] != "StaticEmbedding" or set(kinds[1:]) - {"Normalize"}:
        return False
    file = _file(model)
    return file.is_file() and all(entry["dtype"] in DTYPES for entry in _header(file)[1].values())


def load(model: description.ModelDescription) -> StaticEncoder:
    return StaticEncoder(_file(model), dimensions=model.space.dimensions)


def _file(model: description.ModelDescription) -> Path:
    return model.directory / model.modules[0].folder / "model.safetensors"


def _map(file: Path) -> dict[str, Array]:
    """The tensors of a safetensors file, read whole: a mapped one may be written over meanwhile."""
    try:
        start, header = _header(file)
        content = np.fromfile(file, dtype=np.uint8)
        return {
            name: content[start + entry["data_offsets"][0] : start + entry["data_offsets"][1]]
            .view(DTYPES[entry["dtype"]])
            .reshape(entry["shape"])
            for name, entry in header.items()
        }
    except (OSError, ValueError, KeyError) as exc:
        raise errors.ModelInvalid(file, f"can't be read as a table: {exc}") from exc


def _header(file: Path) -> tuple[int, dict[str, Entry]]:
    with file.open("rb") as content:
        length = int.from_bytes(content.read(8), "little")
        header = json.loads(content.read(length))
    header.pop("__metadata__", None)
    return 8 + length, header
