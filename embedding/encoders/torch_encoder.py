"""Models run by torch: on a GPU, or on a CPU if they can't be converted."""

import threading
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from embedding.encoders import encoder, openvino_encoder, pipeline
from embedding.model_files import description

if TYPE_CHECKING:
    import torch


class TorchEncoder:
    """sentence-transformers' modules on a GPU, or on a CPU for a model that can't be converted.

    On CUDA two batches overlap: while one is computed, the next is padded and copied from
    page-locked memory.
    """

    backend = "torch"
    # One stream for both: a query waits for the running batches and goes before the others.
    separate_query = False

    def __init__(self, model: description.ModelDescription, *, device: str, dtype: str) -> None:
        import torch  # noqa: PLC0415

        self.dtype = dtype
        self._device = device
        self._on_cuda = device == "cuda"
        self.parallel_batches = 2 if self._on_cuda else 1
        # Small batches elsewhere, because a query waits for the one that is running.
        self.batch_rows = 256 if self._on_cuda else 16
        self.batch_tokens = self.batch_rows * 256
        self._limit = model.space.max_tokens
        self._dimensions = model.space.dimensions
        self._static = pipeline.is_static(model)
        loaded = pipeline.load(model, device)
        types = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
        steps = pipeline.as_module(loaded, model.space.dimensions)
        self._steps = steps.to(device=device, dtype=types[dtype])
        self._queueing = threading.Lock()

    def query(self, rows: encoder.Rows, pooled_from: int) -> encoder.Vectors:
        return self.bulk(rows, pooled_from)

    def bulk(self, rows: encoder.Rows, pooled_from: int) -> encoder.Vectors:
        import torch  # noqa: PLC0415

        inputs = self._static_inputs(rows) if self._static else self._padded(rows, pooled_from)
        with torch.inference_mode():
            if not self._on_cuda:
                with self._queueing:
                    return (
                        self._compute([tensor.to(self._device) for tensor in inputs]).cpu().numpy()
                    )
            with self._queueing:
                vectors = self._compute([tensor.to("cuda", non_blocking=True) for tensor in inputs])
                result = torch.empty(vectors.shape, dtype=torch.float32, pin_memory=True)
                result.copy_(vectors, non_blocking=True)
                copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
                copied.record()
            # Outside the lock, and without the GIL, so that the next batch is queued meanwhile.
            copied.synchronize()
        pageable: encoder.Vectors = result.numpy().copy()
        return pageable

    def close(self) -> None:
        """Free the device's memory."""
        del self._steps
        if self._on_cuda:
            import torch  # noqa: PLC0415

            torch.cuda.empty_cache()

    def _compute(self, inputs: list["torch.Tensor"]) -> "torch.Tensor":
        import torch  # noqa: PLC0415

        if not self._static:
            vectors: torch.Tensor = self._steps(*inputs)
            return vectors.to(torch.float32)
        features = dict(zip(("input_ids", "offsets"), inputs, strict=True))
        for step in self._steps.children():
            for module in step.children():
                features = module(features)
        return features["sentence_embedding"][:, : self._dimensions].to(torch.float32)

    def _padded(self, rows: encoder.Rows, pooled_from: int) -> list["torch.Tensor"]:
        ids, mask = encoder.pad(rows, at_most=self._limit)
        return self._tensors(ids, mask, openvino_encoder.pooling_mask(mask, pooled_from))

    def _static_inputs(self, rows: encoder.Rows) -> list["torch.Tensor"]:
        offsets = np.cumsum([0, *(len(row) for row in rows[:-1])])
        return self._tensors(np.concatenate(rows).astype(np.int64), offsets)

    def _tensors(self, *arrays: NDArray[np.int64]) -> list["torch.Tensor"]:
        import torch  # noqa: PLC0415

        tensors = [torch.from_numpy(array) for array in arrays]
        return [tensor.pin_memory() for tensor in tensors] if self._on_cuda else tensors
