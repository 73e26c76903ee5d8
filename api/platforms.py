"""Whether Vecmark's dependencies exist for this Python and this machine.

`make install` runs this file on its own with any Python it finds, before anything is installed:
use only the standard library, and only syntax that an old Python can parse.
"""

from __future__ import annotations

import platform
import sys

OLDEST = (3, 11)
NEWEST = (3, 13)
# For each Linux architecture, the oldest C library that all prebuilt packages support.
_GLIBC = {"x86_64": (2, 28), "aarch64": (2, 35)}


def python_problem(version: tuple[int, ...]) -> str:
    """What is wrong with a Python of this version; empty if nothing is."""
    if OLDEST <= version[:2] <= NEWEST:
        return ""
    return "it is Python %d.%d; Vecmark needs 3.11, 3.12 or 3.13" % (version[0], version[1])  # noqa: UP031


def machine_problem(system: str, machine: str, libc: tuple[str, str]) -> str:
    """What is wrong with a machine (as `platform` names it); empty if nothing is."""
    if (system, machine) == ("Darwin", "arm64"):
        return ""
    if system != "Linux" or machine not in _GLIBC:
        return (
            "there are no prebuilt packages for " + system + " on " + machine + ". Vecmark runs on "
            "Linux (x86_64, aarch64) and on macOS (Apple silicon); elsewhere, use its container"
        )
    needed = _GLIBC[machine]
    name, version = libc
    if name != "glibc":
        return "there are no prebuilt packages for a Linux without glibc (such as Alpine)"
    if tuple(int(part) for part in version.split(".")[:2]) < needed:
        return "its glibc %s is too old: %d.%d or newer is needed" % (version, *needed)  # noqa: UP031
    return ""


def problem() -> str:
    """What is wrong here; empty if nothing is."""
    return python_problem(sys.version_info[:2]) or machine_problem(
        platform.system(), platform.machine(), platform.libc_ver()
    )


if __name__ == "__main__":
    sys.exit(problem() or 0)
