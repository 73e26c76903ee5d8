"""Waiting for a condition that becomes true by itself, up to a deadline."""

import time
from collections.abc import Callable


def until(
    condition: Callable[[], object], within_s: float = 90.0, *, details: Callable[[], str] = str
) -> None:
    """Check repeatedly; after the deadline, fail with what `details` returns."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not met within {within_s:g} s. {details()}"
        time.sleep(0.02)
