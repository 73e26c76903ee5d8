"""How much memory models take: estimated before one is loaded, and what this machine has."""

import contextlib
import ctypes
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from embedding import description

# Half: PostgreSQL, its builds of HNSW and requests under way need the rest.
SHARE = 0.5
_MEGABYTE = 10**6
# A graph and the two instances compiled from it; MiniLM (91 MB of fp32 weights) takes 284 MB.
_GRAPH_COPIES = 3
_PARAMETER_BYTES = 4
# As objects of the tokenizers library: 1.8 MB of tokenizer.json take 33 MB.
_TOKENIZER_GROWTH = 16
_FIXED_BYTES = 16 * _MEGABYTE


def estimate(model: description.ModelDescription) -> int:
    """Bytes that serving the model will take, from its files alone."""
    is_table = model.modules[0].kind == "StaticEmbedding"
    weights = _parameters(model.space.manifest["modules"]) * _PARAMETER_BYTES
    tokenizer = _tokenizer_bytes(model) * _TOKENIZER_GROWTH
    return weights * (1 if is_table else _GRAPH_COPIES) + tokenizer + _FIXED_BYTES


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(psutil.Process().memory_info().rss)


def give_back() -> None:
    """Let the C library return what it keeps after a model was closed: 46 of MiniLM's 277 MB."""
    with contextlib.suppress(OSError, AttributeError):  # glibc alone has it
        ctypes.CDLL(None).malloc_trim(0)


def available(proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that this process may use: the machine's, or less where its cgroup has a limit."""
    return min([int(psutil.virtual_memory().total), *_limits(proc, root)])


def shown(count: int) -> str:
    """Bytes for a person: `1.2 GB`, `340 MB`."""
    if count >= 1000 * _MEGABYTE:
        return f"{count / 1000 / _MEGABYTE:,.1f} GB"
    return f"{count / _MEGABYTE:,.0f} MB"


def _parameters(modules: object) -> int:
    if not isinstance(modules, list):
        return 0
    weights = [module["weights"] for module in modules if "weights" in module]
    return sum(int(one["parameters"]) for one in weights if isinstance(one, Mapping))


def _tokenizer_bytes(model: description.ModelDescription) -> int:
    folders = {model.directory, model.directory / model.modules[0].folder}
    files = (folder / "tokenizer.json" for folder in folders)
    return max((file.stat().st_size for file in files if file.is_file()), default=0)


def _limits(proc: Path, root: Path) -> Iterator[int]:
    """Those of the process's cgroup and of all above it, in either version of cgroups."""
    with contextlib.suppress(OSError):
        for line in proc.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                yield from _upwards(root, path, "memory.max")
            elif "memory" in controllers.split(","):
                yield from _upwards(root / "memory", path, "memory.limit_in_bytes")


def _upwards(root: Path, path: str, name: str) -> Iterator[int]:
    # In a container the path can be the host's, which is not there: its own limit is at the root.
    folder = root / path.lstrip("/")
    for place in (folder, *folder.parents):
        with contextlib.suppress(OSError, ValueError):  # "max" is none
            yield int((place / name).read_text())
        if place == root:
            return
