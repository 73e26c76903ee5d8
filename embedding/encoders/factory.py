"""Which encoders can run a model, and opening one."""

from pathlib import Path

from embedding.encoders import (
    devices,
    encoder,
    openvino_encoder,
    pipeline,
    static_encoder,
    torch_encoder,
)
from embedding.model_files import description


def candidates(model: description.ModelDescription, device: str) -> list[tuple[str, str]]:
    """Backends and precisions to try, the best first."""
    if device != "cpu":
        return [("torch", "f16"), ("torch", "bf16"), ("torch", "f32")]
    if static_encoder.can_read(model):
        return [("static", "f32")]
    if pipeline.is_static(model):
        return [("torch", "f32")]
    precise = [("openvino", "f32"), ("torch", "f32")]
    return [("openvino", "bf16"), *precise] if devices.has_bf16() else precise


def open_encoder(
    model: description.ModelDescription, backend: str, dtype: str, *, device: str, folder: Path
) -> encoder.Encoder:
    """`folder` has the OpenVINO graph (float or int8); torch and static encoders don't need it."""
    limit = model.space.max_tokens
    if dtype == "int8":
        return openvino_encoder.Int8Encoder(folder, limit=limit)
    if backend == "openvino":
        return openvino_encoder.OpenVINOEncoder(folder, dtype=dtype, limit=limit)
    if backend == "static":
        return static_encoder.load(model)
    return torch_encoder.TorchEncoder(model, device=device, dtype=dtype)
