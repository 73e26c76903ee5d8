"""The CPUs that this process may use."""

import os
import sys


def count() -> int:
    """CPUs that this process may use: its affinity counts, not the machine's size."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
