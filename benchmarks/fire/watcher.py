"""Polls the migration's status and records it."""

import time
from typing import Any

from benchmarks.fire.context import RunContext
from benchmarks.fire.history import Observation
from benchmarks.fire.session import Answer, Lost, NotSent, Session

EVERY_S = 0.2
TIMEOUT_S = 30.0


class Watcher:
    def __init__(self, context: RunContext, migration: str) -> None:
        self._context = context
        self._path = f"{context.path}/migrations/{migration}"
        self._session = Session(context.port, TIMEOUT_S)
        self.status: dict[str, Any] = {}

    def run(self) -> None:
        """Poll until the phase ends."""
        while not self._context.ended.wait(EVERY_S):
            self.observe()
        self.close()

    def close(self) -> None:
        self._session.close()

    def observe(self) -> None:
        started = time.monotonic()
        answer = self._ask()
        if answer is None or answer.status != 200:
            return
        status = self.status = answer.content
        progress = status["progress"]
        self._context.history.add_observation(
            Observation(
                invoked=started,
                answered=time.monotonic(),
                state=status["state"],
                documents=progress["documents_done"],
                chunks=progress["chunks_done"],
                pending=progress["pending"],
                workers=progress["workers"],
                note=" ".join(str(status[key]) for key in ("waiting", "error") if status.get(key)),
            )
        )

    def _ask(self) -> Answer | None:
        try:
            return self._session.ask("GET", self._path)
        except (NotSent, Lost):
            return None
