"""A client of one migration: start it, wait for states, act on it, read how long states took."""

import contextlib
import time
from datetime import datetime
from typing import Any

from benchmarks import client
from benchmarks.fire.session import Session

# Each poll takes CPU time from the backfill that is being measured.
POLL_S = 2.0
LIMIT_S = 3600.0
TIMEOUT_S = 120.0
# It stays in these states until somebody acts.
FINAL_STATES = {"soaking", "done", "paused", "blocked", "failed", "cancelled", "rolled_back"}


class StateNotReached(client.Refused):
    """The migration stopped in another state than the one waited for."""


class MigrationClient:
    """A migration of `collection`; the connection may be idle for any length of time."""

    def __init__(self, port: int, collection: str, id_: str) -> None:
        self._session = Session(port, TIMEOUT_S)
        self._collection = collection
        self._path = f"/v1/collections/{collection}/migrations/{id_}"

    @classmethod
    def start(cls, port: int, collection: str, model: str, **options: Any) -> "MigrationClient":
        """Start a migration; `options` are fields of the request body. Raises Refused."""
        path = f"/v1/collections/{collection}/migrations"
        with contextlib.closing(Session(port, TIMEOUT_S)) as session:
            status = _request(session, "POST", path, {"model": model, **options})
        if "id" not in status:
            raise StateNotReached(f"no migration of {collection} to {model} was started: {status}")
        return cls(port, collection, status["id"])

    def status(self) -> dict[str, Any]:
        return _request(self._session, "GET", self._path)

    def perform(self, action: str) -> dict[str, Any]:
        """`cutover`, `rollback`, `cancel` and so on."""
        return _request(self._session, "POST", f"{self._path}/{action}", {})

    def report(self) -> dict[str, Any]:
        return _request(self._session, "GET", f"{self._path}/report")

    def wait_for(self, *states: str) -> dict[str, Any]:
        """Wait for one of the states; raises StateNotReached if it stops in another one."""
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            status = self.status()
            if status["state"] in states:
                return status
            if _is_final(status):
                break
            time.sleep(POLL_S)
        raise StateNotReached(
            f"the migration of {self._collection} is {status['state']}, not {' or '.join(states)}: "
            f"{status['waiting'] or status['error'] or status['next']}; {status['verdict']}"
        )


def _is_final(status: dict[str, Any]) -> bool:
    is_held = status["state"] == "ready" and status["options"]["manual"]
    return is_held or status["state"] in FINAL_STATES


def _request(session: Session, method: str, path: str, content: object = None) -> dict[str, Any]:
    answer = session.ask(method, path, content)
    if not 200 <= answer.status < 300 or not isinstance(answer.content, dict):
        raise client.Refused(f"{method} {path}: {answer.status} {answer.problem}")
    return answer.content


def span(status: dict[str, Any], state: str) -> tuple[float, float]:
    """Unix times at which it first entered that state and left it."""
    history = status["history"]
    for no, entry in enumerate(history[:-1]):
        if entry["state"] == state:
            return _time(entry), _time(history[no + 1])
    raise StateNotReached(f"it was never in state {state}, or is still in it: {history}")


def seconds_in(status: dict[str, Any], state: str) -> float:
    started, ended = span(status, state)
    return ended - started


def _time(entry: dict[str, Any]) -> float:
    return datetime.fromisoformat(entry["at"]).timestamp()
