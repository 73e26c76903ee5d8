import os
import platform
import sys
import threading
from pathlib import Path

from embedding import errors

# From fast to slow: what a CPU is called is the first of these that it has. Rounding differs
# between them, so a check of an encoder holds for one only.
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
    """The machine and the best instruction set that matters for encoders: x86_64-avx512_bf16."""
    flags = _flags(cpuinfo)
    best = next((feature for feature in FEATURES if feature in flags), "plain")
    return f"{platform.machine()}-{best}"


def has_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """If the CPU computes in bf16 itself; where it is emulated it is a hundred times slower."""
    return not _flags(cpuinfo).isdisjoint(NATIVE_BF16)


def cpu_count() -> int:
    """CPUs that this process may use: its affinity counts, not the machine's size."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def lower_priority() -> None:
    """Let the calling thread, and those that it makes, run when nobody else needs the CPU.

    Linux only: elsewhere the priority belongs to the whole process.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BACKGROUND_NICE)


def _flags(cpuinfo: Path) -> set[str]:
    if not cpuinfo.is_file():
        return set()
    lines = (line for line in cpuinfo.read_text().splitlines() if ":" in line)
    named = ((name.strip(), value) for name, _, value in (line.partition(":") for line in lines))
    return next(
        (set(value.split()) for name, value in named if name in ("flags", "Features")), set()
    )


DEVICES = ("auto", "cpu", "cuda", "mps")


def choose_device(device: str) -> str:
    """The device to encode on; "auto" takes a GPU that torch can use, and asks torch only then."""
    if device not in DEVICES:
        raise errors.EncoderFailed(f"the device {device!r} is not one of {', '.join(DEVICES)}")
    wanted = _likely() if device == "auto" else device
    if wanted == "cpu" or usable(wanted):
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


def usable(device: str) -> bool:
    """If torch can compute on "cuda" or "mps" here."""
    import torch  # noqa: PLC0415

    return torch.cuda.is_available() if device == "cuda" else torch.backends.mps.is_available()
