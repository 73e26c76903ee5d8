"""A migration as a client sees it: begun, waited for, acted on, and how long each state took."""

import contextlib
import time
from datetime import datetime
from typing import Any

from benchmarks import client
from benchmarks.fire.session import Session

# Each look costs the service some of the CPUs that a backfill is measured on.
EVERY_S = 2.0
LIMIT_S = 3600.0
TIMEOUT_S = 120.0
# Nothing more happens by itself.
STANDING = {"soaking", "done", "paused", "blocked", "failed", "cancelled", "rolled_back"}


class NotReached(client.Refused):
    """The migration stands in another state than the one waited for."""


class Migration:
    """One of `collection`; its connection may lie idle for as long as it likes."""

    def __init__(self, port: int, collection: str, id_: str) -> None:
        self._session = Session(port, TIMEOUT_S)
        self._collection = collection
        self._path = f"/v1/collections/{collection}/migrations/{id_}"

    @classmethod
    def begin(cls, port: int, collection: str, model: str, **options: Any) -> "Migration":
        """`options` as the request's body has them. Refused where none is needed."""
        path = f"/v1/collections/{collection}/migrations"
        with contextlib.closing(Session(port, TIMEOUT_S)) as session:
            shown = _asked(session, "POST", path, {"model": model, **options})
        if "id" not in shown:
            raise NotReached(f"no migration of {collection} to {model}: {shown}")
        return cls(port, collection, shown["id"])

    def shown(self) -> dict[str, Any]:
        return _asked(self._session, "GET", self._path)

    def act(self, action: str) -> dict[str, Any]:
        """`cutover`, `rollback`, `cancel` and so on."""
        return _asked(self._session, "POST", f"{self._path}/{action}", {})

    def report(self) -> dict[str, Any]:
        return _asked(self._session, "GET", f"{self._path}/report")

    def until(self, *states: str) -> dict[str, Any]:
        """Wait for one of the states; NotReached where it stands in another one."""
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            shown = self.shown()
            if shown["state"] in states:
                return shown
            if _stands(shown):
                break
            time.sleep(EVERY_S)
        raise NotReached(
            f"the migration of {self._collection} is {shown['state']}, not {' or '.join(states)}: "
            f"{shown['waiting'] or shown['error'] or shown['next']}; {shown['verdict']}"
        )


def _stands(shown: dict[str, Any]) -> bool:
    is_held = shown["state"] == "ready" and shown["options"]["manual"]
    return is_held or shown["state"] in STANDING


def _asked(session: Session, method: str, path: str, content: object = None) -> dict[str, Any]:
    answer = session.ask(method, path, content)
    if not 200 <= answer.status < 300 or not isinstance(answer.content, dict):
        raise client.Refused(f"{method} {path}: {answer.status} {answer.problem}")
    return answer.content


def span(shown: dict[str, Any], state: str) -> tuple[float, float]:
    """When it came to that state the first time, and to the next one: seconds of the epoch."""
    history = shown["history"]
    for no, entry in enumerate(history[:-1]):
        if entry["state"] == state:
            return _time(entry), _time(history[no + 1])
    raise NotReached(f"it was never in state {state}, or is: {history}")


def seconds_in(shown: dict[str, Any], state: str) -> float:
    begun, ended = span(shown, state)
    return ended - begun


def _time(entry: dict[str, Any]) -> float:
    return datetime.fromisoformat(entry["at"]).timestamp()
