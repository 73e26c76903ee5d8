"""Waiting for what comes to be by itself: as long as it needs, and never for ever."""

import time
from collections.abc import Callable


def until(
    condition: Callable[[], object], within_s: float = 90.0, *, said: Callable[[], str] = str
) -> None:
    """Ask again and again; past the deadline it fails with what was `said`."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"it did not come to be in {within_s:g} s. {said()}"
        time.sleep(0.02)
