"""Static models: a vector is the mean of a table's rows."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from embedding import errors
from embedding.encoders import encoder
from embedding.model_files import checkpoint, description, safetensors_file


class StaticEncoder:
    """The mean of a table's rows, as sentence-transformers' StaticEmbedding computes it."""

    backend = "static"
    dtype = "f32"
    separate_query = True
    parallel_batches = 1
    batch_rows = 256
    batch_tokens = 256 * 512

    def __init__(self, file: Path, *, dimensions: int) -> None:
        tensors = safetensors_file.load(file)
        self._dimensions = dimensions
        # model2vec's names; several tokens may share a row of its table, and rows may be weighted.
        self._table = tensors["embedding.weight" if "embedding.weight" in tensors else "embeddings"]
        self._mapping = tensors.get("mapping")
        self._weights = tensors.get("weights")

    def query(self, rows: encoder.Rows, pooled_from: int) -> encoder.Vectors:
        return np.stack([self._mean(row) for row in rows])

    def bulk(self, rows: encoder.Rows, pooled_from: int) -> encoder.Vectors:
        return self.query(rows, pooled_from)

    def close(self) -> None:
        """Nothing to free: the table goes with the last reference."""

    def _mean(self, ids: encoder.Row) -> NDArray[np.float32]:
        if not len(ids):
            raise errors.EncoderFailed("the text has no token in the model's table")
        indexes = ids if self._mapping is None else self._mapping[ids].astype(np.int64)
        rows = self._table[indexes].astype(np.float32)
        if self._weights is not None:
            rows *= self._weights[ids].astype(np.float32)[:, None]
        mean: NDArray[np.float32] = rows.mean(axis=0)[: self._dimensions]
        return mean


def can_read(model: description.ModelDescription) -> bool:
    """Whether this encoder can run the model: a table of known types, and at most a Normalize."""
    kinds = [module.kind for module in model.modules]
    if kinds[0] != "StaticEmbedding" or set(kinds[1:]) - {"Normalize"}:
        return False
    file = _file(model)
    return file.is_file() and safetensors_file.dtypes(file) <= set(safetensors_file.NUMPY_TYPES)


def load(model: description.ModelDescription) -> StaticEncoder:
    return StaticEncoder(_file(model), dimensions=model.space.dimensions)


def _file(model: description.ModelDescription) -> Path:
    return model.directory / model.modules[0].folder / checkpoint.SINGLE
