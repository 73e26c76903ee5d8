import threading
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from embedding.encoders import encoder, openvino_encoder, pipeline
from embedding.model_files import description

if TYPE_CHECKING:
    import torch


class TorchEncoder:
    """sentence-transformers' modules on a GPU, and wherever a model can't be converted.

    On CUDA two batches are under way: while one is computed, the next is padded, and copied from
    page-locked memory.
    """

    backend = "torch"
    # One stream for both kinds: a query waits for the batches under way, and goes before others.
    query_apart = False

    def __init__(self, model: description.ModelDescription, *, device: str, dtype: str) -> None:
        import torch  # noqa: PLC0415

        self.dtype = dtype
        self._device = device
        self._on_cuda = device == "cuda"
        self.lanes = 2 if self._on_cuda else 1
        # Elsewhere small ones: a query waits for the batch under way.
        self.batch_rows = 256 if self._on_cuda else 16
        self.batch_tokens = self.batch_rows * 256
        self._limit = model.space.max_tokens
        self._dimensions = model.space.dimensions
        self._static = pipeline.is_static(model)
        loaded = pipeline.load(model, device)
        types = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
        steps = pipeline.from_ids(loaded, model.space.dimensions)
        self._steps = steps.to(device=device, dtype=types[dtype])
        self._queueing = threading.Lock()

    def query(self, rows: encoder.Rows, pooled_from: int) -> encoder.Vectors:
        return self.bulk(rows, pooled_from)

    def bulk(self, rows: encoder.Rows, pooled_from: int) -> encoder.Vectors:
        import torch  # noqa: PLC0415

        given = self._static_given(rows) if self._static else self._padded(rows, pooled_from)
        with torch.inference_mode():
            if not self._on_cuda:
                with self._queueing:
                    return self._computed([one.to(self._device) for one in given]).cpu().numpy()
            with self._queueing:
                vectors = self._computed([one.to("cuda", non_blocking=True) for one in given])
                result = torch.empty(vectors.shape, dtype=torch.float32, pin_memory=True)
                result.copy_(vectors, non_blocking=True)
                copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
                copied.record()
            # Outside the lock, and without the GIL: the next batch is queued meanwhile.
            copied.synchronize()
        found: encoder.Vectors = result.numpy().copy()
        return found

    def close(self) -> None:
        """Free the device's memory."""
        del self._steps
        if self._on_cuda:
            import torch  # noqa: PLC0415

            torch.cuda.empty_cache()

    def _computed(self, given: list["torch.Tensor"]) -> "torch.Tensor":
        import torch  # noqa: PLC0415

        if not self._static:
            vectors: torch.Tensor = self._steps(*given)
            return vectors.to(torch.float32)
        features = dict(zip(("input_ids", "offsets"), given, strict=True))
        for step in self._steps.children():
            for module in step.children():
                features = module(features)
        return features["sentence_embedding"][:, : self._dimensions].to(torch.float32)

    def _padded(self, rows: encoder.Rows, pooled_from: int) -> list["torch.Tensor"]:
        ids, mask = encoder.pad(rows, at_most=self._limit)
        return self._tensors(ids, mask, openvino_encoder.pooling_mask(mask, pooled_from))

    def _static_given(self, rows: encoder.Rows) -> list["torch.Tensor"]:
        offsets = np.cumsum([0, *(len(row) for row in rows[:-1])])
        return self._tensors(np.concatenate(rows).astype(np.int64), offsets)

    def _tensors(self, *arrays: NDArray[np.int64]) -> list["torch.Tensor"]:
        import torch  # noqa: PLC0415

        tensors = [torch.from_numpy(array) for array in arrays]
        return [tensor.pin_memory() for tensor in tensors] if self._on_cuda else tensors
