import threading
from typing import TYPE_CHECKING

import numpy as np

from embedding import batching, description, encoder, openvino_encoder, pipeline

if TYPE_CHECKING:
    import torch


def usable(device: str) -> bool:
    """If torch can compute on "cuda" or "mps" here."""
    import torch  # noqa: PLC0415

    return torch.cuda.is_available() if device == "cuda" else torch.backends.mps.is_available()


class TorchEncoder:
    """sentence-transformers' modules on a GPU, and wherever a model can't be converted."""

    backend = "torch"
    lanes = 1
    batch_rows = 64
    batch_tokens = 64 * 256

    def __init__(self, model: description.ModelDescription, *, device: str, dtype: str) -> None:
        import torch  # noqa: PLC0415

        self.dtype = dtype
        self._device = device
        self._limit = model.space.max_tokens
        self._static = pipeline.is_static(model)
        loaded = pipeline.load(model, device)
        types = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
        steps = pipeline.from_ids(loaded, model.space.dimensions)
        self._steps = steps.to(device=device, dtype=types[dtype])
        self._lock = threading.Lock()

    def query(self, rows: encoder.Rows, pooled_from: int) -> encoder.Vectors:
        return self._run(rows, pooled_from)

    def bulk(self, rows: encoder.Rows, pooled_from: int) -> encoder.Vectors:
        # One stream for both kinds: a query waits for one batch of documents at most.
        return self._run(rows, pooled_from)

    def close(self) -> None:
        """Free the device's memory."""
        del self._steps

    def _run(self, rows: encoder.Rows, pooled_from: int) -> encoder.Vectors:
        import torch  # noqa: PLC0415

        with self._lock, torch.inference_mode():
            vectors = (
                self._static_vectors(rows) if self._static else self._padded(rows, pooled_from)
            )
            result: encoder.Vectors = vectors.to(device="cpu", dtype=torch.float32).numpy()
        return result

    def _padded(self, rows: encoder.Rows, pooled_from: int) -> "torch.Tensor":
        import torch  # noqa: PLC0415

        ids, mask = batching.pad(rows, at_most=self._limit)
        pooled = openvino_encoder.pooling_mask(mask, pooled_from)
        given = [torch.from_numpy(array).to(self._device) for array in (ids, mask, pooled)]
        vectors: torch.Tensor = self._steps(*given)
        return vectors

    def _static_vectors(self, rows: encoder.Rows) -> "torch.Tensor":
        import torch  # noqa: PLC0415

        offsets = np.cumsum([0, *(len(row) for row in rows[:-1])])
        features = {
            "input_ids": torch.from_numpy(np.concatenate(rows).astype(np.int64)).to(self._device),
            "offsets": torch.from_numpy(offsets).to(self._device),
        }
        for step in self._steps.children():
            for module in step.children():
                features = module(features)
        return features["sentence_embedding"]
