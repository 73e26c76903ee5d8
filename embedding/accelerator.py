import platform
import sys
from pathlib import Path

from embedding import errors, torch_encoder

DEVICES = ("auto", "cpu", "cuda", "mps")


def choose(device: str) -> str:
    """The device to encode on; "auto" takes a GPU that torch can use, and asks torch only then."""
    if device not in DEVICES:
        raise errors.EncoderFailed(f"the device {device!r} is not one of {', '.join(DEVICES)}")
    wanted = _likely() if device == "auto" else device
    if wanted == "cpu" or torch_encoder.usable(wanted):
        return wanted
    if device == "auto":
        return "cpu"
    raise errors.EncoderFailed(f"torch finds no {device} device here; use DEVICE=cpu")


def _likely() -> str:
    # Looking for it is enough on most machines, and spares them the 7 s of importing torch.
    if Path("/dev/nvidiactl").exists() or Path("/dev/kfd").exists():
        return "cuda"
    is_mac = sys.platform == "darwin" and platform.machine() == "arm64"
    return "mps" if is_mac else "cpu"
