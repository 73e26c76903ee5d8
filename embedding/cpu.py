import os
import platform
import sys
import threading
from pathlib import Path

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


def kind(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The machine and the best instruction set that matters for encoders: x86_64-avx512_bf16."""
    flags = _flags(cpuinfo)
    best = next((feature for feature in FEATURES if feature in flags), "plain")
    return f"{platform.machine()}-{best}"


def has_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """If the CPU computes in bf16 itself; where it is emulated it is a hundred times slower."""
    return not _flags(cpuinfo).isdisjoint(NATIVE_BF16)


def count() -> int:
    """CPUs that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def yield_to_others() -> None:
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
