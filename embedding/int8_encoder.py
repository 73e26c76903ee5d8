from pathlib import Path

from embedding import openvino_encoder


class Int8Encoder(openvino_encoder.OpenVINOEncoder):
    """An int8 graph on the CPU."""

    def __init__(self, folder: Path, *, limit: int | None) -> None:
        # What the graph leaves in float runs in f32: in bf16 it is no faster, and a batch gives
        # other vectors than its texts alone (cosine 0.9987; in f32 1.00000).
        super().__init__(folder, dtype="f32", limit=limit)
        self.dtype = "int8"
