"""What killed workers had encoded but not written: others have to do it again."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

ENCODED, WRITTEN = "backfill_encoded", "backfill_written"
# Two batches of 64 chunks may be in flight.
MOST = 128


def chunks(log: Iterable[str]) -> int:
    """Chunks of the batches that this process encoded and did not write."""
    flying: dict[str, int] = {}
    for event in events(log):
        batch = str(event.get("batch"))
        if event["event"] == ENCODED:
            flying[batch] = int(str(event["chunks"]))
        elif event["event"] == WRITTEN:
            flying.pop(batch, None)
    return sum(flying.values())


def encoded(logs: Iterable[Path]) -> int:
    """Chunks that all of them encoded, again or not."""
    return sum(
        int(str(event["chunks"]))
        for log in logs
        for event in events(lines(log))
        if event["event"] == ENCODED
    )


def lines(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines()


def events(log: Iterable[str]) -> Iterator[dict[str, object]]:
    """The lines that are events; the last one may be torn."""
    for line in log:
        if not line.startswith("{"):
            continue
        try:
            content = json.loads(line)
        except ValueError:
            continue
        if isinstance(content, dict) and "event" in content:
            yield content
