"""Clients of `POST /v1/embeddings` in a separate process.

`python -m benchmarks.load_generator` reads a `Job` as JSON from stdin; the last line of stdout is
the answer, see `Answers`. Bodies are built before and answers decoded after the timed section.
"""

import base64
import collections
import http.client
import itertools
import json
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import child_process, client

PATH = "/v1/embeddings"
TEXTS = 64  # per request
CLIENTS = 4
OK, BUSY = 200, 429
MODULE = "benchmarks.load_generator"


@dataclass(frozen=True)
class Job:
    """`clients` share the bodies: each is sent once, or all repeatedly for `seconds`."""

    port: int
    bodies: list[str]
    clients: int = CLIENTS
    seconds: float = 0.0
    # File for the vectors as .npy, in the order of the texts; only if each body is sent once.
    vectors: str = ""


@dataclass
class Answers:
    """`started` and `ended` are by the monotonic clock, which all processes of a machine share.

    `statuses` counts answers by status, and requests without an answer by exception name.
    """

    started: float = 0.0
    ended: float = 0.0
    statuses: dict[str, int] = field(default_factory=dict)
    without_retry_after: int = 0
    # Text of the first answer that was neither 200 nor 429.
    odd: str = ""

    @property
    def seconds(self) -> float:
        return self.ended - self.started


def bodies(texts: Sequence[str], *, model: str, **more: object) -> list[str]:
    """Request bodies of TEXTS texts each, with `more` fields."""
    return [
        json.dumps({"model": model, "input": list(texts[start : start + TEXTS]), **more})
        for start in range(0, len(texts), TEXTS)
    ]


def rate(job: Job, texts: int) -> float:
    """Texts per second. Raises Refused if a request wasn't answered by 200."""
    return texts / all_answered(run(job)).seconds


def run(job: Job) -> Answers:
    return Answers(**child_process.ask(MODULE, asdict(job)))


def all_answered(answers: Answers) -> Answers:
    if answers.statuses.keys() != {str(OK)}:
        raise client.Refused(f"POST {PATH}: {answers.statuses}; {answers.odd}")
    return answers


class _Run:
    """State that the clients share while they run."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.statuses: collections.Counter[str] = collections.Counter()
        self.without_retry_after = 0
        self.odd = ""
        self.answers: dict[int, bytes] = {}
        self.until = float("inf")
        self._lock = threading.Lock()
        self._bodies = [body.encode() for body in job.bodies]
        numbers: Iterator[int] = iter(range(len(self._bodies)))
        self._numbers = itertools.cycle(numbers) if job.seconds else numbers
        self._ready = threading.Barrier(job.clients + 1)

    def run(self) -> Answers:
        threads = [threading.Thread(target=self._client) for _ in range(self.job.clients)]
        for thread in threads:
            thread.start()
        started = time.monotonic()
        if self.job.seconds:
            self.until = started + self.job.seconds
        self._ready.wait()
        for thread in threads:
            thread.join()
        ended = time.monotonic()
        statuses = dict(self.statuses)
        return Answers(started, ended, statuses, self.without_retry_after, self.odd)

    def _client(self) -> None:
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.job.port, timeout=client.TIMEOUT_S
        )
        self._ready.wait()
        while time.monotonic() < self.until:
            with self._lock:
                no = next(self._numbers, None)
            if no is None:
                break
            self._send(connection, no)
        connection.close()

    def _send(self, connection: http.client.HTTPConnection, no: int) -> None:
        try:
            response = _answered(connection, self._bodies[no])
            raw = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            with self._lock:
                self.statuses[type(error).__name__] += 1
                self.odd = self.odd or str(error)
            return
        with self._lock:
            self.statuses[str(response.status)] += 1
            if response.status == BUSY and not response.headers.get("Retry-After"):
                self.without_retry_after += 1
            elif response.status not in {OK, BUSY}:
                self.odd = self.odd or raw[:500].decode(errors="replace")
            if self.job.vectors:
                self.answers[no] = raw


def _answered(connection: http.client.HTTPConnection, body: bytes) -> http.client.HTTPResponse:
    try:
        connection.request("POST", PATH, body=body, headers=client.JSON)
    except ConnectionError:
        # It closed before reading the whole body; its answer may have arrived all the same.
        if connection.sock is None:
            raise
    return connection.getresponse()


def vectors(raw: bytes) -> NDArray[np.float32]:
    """The vectors of an answer, (texts, dimensions), ordered by `index`."""
    items = sorted(json.loads(raw)["data"], key=lambda item: item["index"])
    return np.stack([_vector(item["embedding"]) for item in items])


def _vector(embedding: Any) -> NDArray[np.float32]:
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding), "<f4").astype(np.float32)
    return np.asarray(embedding, np.float32)


def measure(job: Job) -> Answers:
    running = _Run(job)
    result = running.run()
    if job.vectors and result.statuses.keys() == {str(OK)}:
        answers = [vectors(raw) for _, raw in sorted(running.answers.items())]
        np.save(job.vectors, np.concatenate(answers))
    return result


if __name__ == "__main__":
    print(json.dumps(asdict(measure(Job(**json.load(sys.stdin))))))
