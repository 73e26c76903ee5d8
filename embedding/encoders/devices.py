"""The CPUs and GPUs of this machine, and which of them models run on."""

import os
import platform
import sys
import threading
from pathlib import Path

from embedding import errors

# From fast to slow: a CPU is named after the first of these that it has. Rounding differs between
# them, so a check of an encoder is valid for one of them only.
FEATURES = (
    "amx_bf16",
    "avx512_bf16",
    "avx512_vnni",
    "avx512f",
    "avx_vnni",
    "avx2",
    "bf16",
    "asimd",
)
NATIVE_BF16 = ("amx_bf16", "avx512_bf16", "bf16")
BACKGROUND_NICE = 19


def cpu_kind(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The machine and its best instruction set for encoders, such as x86_64-avx512_bf16."""
    flags = _flags(cpuinfo)
    best = next((feature for feature in FEATURES if feature in flags), "plain")
    return f"{platform.machine()}-{best}"


def has_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the CPU computes in bf16 itself; emulated, it is a hundred times slower."""
    return not _flags(cpuinfo).isdisjoint(NATIVE_BF16)


def lower_priority() -> None:
    """Let the calling thread, and those it starts, run only when nothing else needs the CPU.

    Only on Linux: elsewhere the priority is the whole process's.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BACKGROUND_NICE)


def _flags(cpuinfo: Path) -> set[str]:
    if not cpuinfo.is_file():
        return set()
    lines = (line.partition(":") for line in cpuinfo.read_text().splitlines())
    flags = (value for name, _, value in lines if name.strip() in ("flags", "Features"))
    return set(next(flags, "").split())


DEVICES = ("auto", "cpu", "cuda", "mps")


def choose_device(device: str) -> str:
    """The device to encode on; "auto" takes a GPU if there is one that torch can use."""
    if device not in DEVICES:
        raise errors.EncoderFailed(f"the device {device!r} is not one of {', '.join(DEVICES)}")
    candidate = _likely_device() if device == "auto" else device
    if candidate == "cpu" or is_usable(candidate):
        return candidate
    if device == "auto":
        return "cpu"
    raise errors.EncoderFailed(f"torch finds no {device} device on this machine; use DEVICE=cpu")


def _likely_device() -> str:
    # Most machines have no such file, and are spared the 7 s of importing torch.
    if Path("/dev/nvidiactl").exists() or Path("/dev/kfd").exists():
        return "cuda"
    is_mac = sys.platform == "darwin" and platform.machine() == "arm64"
    return "mps" if is_mac else "cpu"


def is_usable(device: str) -> bool:
    """Whether torch can compute on "cuda" or "mps" on this machine."""
    import torch  # noqa: PLC0415

    return torch.cuda.is_available() if device == "cuda" else torch.backends.mps.is_available()
