"""Records into a collection: one stream, every record accounted for."""

import collections
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from api.cli import client, failure, formats, output, progress, stream

FAILURES_SHOWN = 10
DONE = ("created", "updated", "unchanged", "superseded")


@dataclass
class Tally:
    """What became of the records; the first failures with their places."""

    statuses: collections.Counter[str] = field(default_factory=collections.Counter)
    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def failed(self) -> int:
        return self.statuses["failed"]

    def fail(self, place: str, reason: str) -> None:
        self.statuses["failed"] += 1
        if len(self.failures) < FAILURES_SHOWN:
            self.failures.append(f"{place}: {reason}")

    def warn(self, place: str, warning: str) -> None:
        self.statuses["warnings"] += 1
        if len(self.warnings) < FAILURES_SHOWN:
            self.warnings.append(f"{place}: {warning}")


async def load(
    service: client.Service,
    collection: str,
    records: Iterable[formats.Record],
    bar: progress.Progress,
) -> Tally:
    """Send every record and count the answers. Failure where the stream breaks off."""
    tally = Tally()
    places: collections.deque[str] = collections.deque()
    path = f"{client.collection_path(collection)}/documents"
    with bar:
        async for result in stream.post(service, path, _lines(records, places, tally, bar)):
            if "status" not in result:
                continue
            place = places.popleft()
            if result["status"] == "failed":
                tally.fail(place, result.get("detail") or result.get("reason") or "failed")
            else:
                tally.statuses[result["status"]] += 1
                for warning in _warnings(result):
                    tally.warn(place, warning)
            bar.advance()
    if places:
        raise failure.Failure(
            f"the service answered only up to {places[0]}; run the command again for the rest"
        )
    return tally


def _lines(
    records: Iterable[formats.Record],
    places: "collections.deque[str]",
    tally: Tally,
    bar: progress.Progress,
) -> Iterator[bytes]:
    for record in records:
        if record.document is None:
            tally.fail(record.place, record.error or "no document")
            bar.advance()
        else:
            places.append(record.place)
            yield json.dumps(record.document, ensure_ascii=False).encode()


def _warnings(result: dict[str, object]) -> Iterator[str]:
    found = result.get("warnings")
    if isinstance(found, list):
        yield from (str(warning) for warning in found)
    if result.get("cut"):
        yield "only the beginning was embedded: the text is longer than the model's limit"


def report(tally: Tally, seconds: float) -> None:
    """The summary on standard output, failures and warnings on standard error."""
    counts = [f"{tally.statuses[status]:,} {status}" for status in DONE if tally.statuses[status]]
    counts += [f"{tally.failed:,} failed"]
    total = sum(tally.statuses[status] for status in (*DONE, "failed"))
    rate = f", {total / seconds:,.0f}/s" if seconds > 0 else ""
    output.line(f"{', '.join(counts)}  ({output.seconds(seconds)}{rate})")
    _list("Warning", tally.warnings, tally.statuses["warnings"])
    _list("Failed", tally.failures, tally.failed)


def _list(title: str, shown: list[str], total: int) -> None:
    for line in shown:
        output.line(f"{title}: {line}", err=True)
    if total > len(shown):
        output.line(f"{title}: ... and {total - len(shown):,} more", err=True)
