"""Looks at the migration again and again."""

import time
from typing import Any

from benchmarks.fire.history import Look
from benchmarks.fire.scene import Scene
from benchmarks.fire.session import Answer, Lost, NotSent, Session

EVERY_S = 0.2
TIMEOUT_S = 30.0


class Watcher:
    def __init__(self, scene: Scene, migration: str) -> None:
        self._scene = scene
        self._path = f"{scene.path}/migrations/{migration}"
        self._session = Session(scene.port, TIMEOUT_S)
        self.shown: dict[str, Any] = {}

    def run(self) -> None:
        """Until the scene has ended."""
        while not self._scene.ended.wait(EVERY_S):
            self.once()
        self.close()

    def close(self) -> None:
        self._session.close()

    def once(self) -> None:
        begun = time.monotonic()
        answer = self._ask()
        if answer is None or answer.status != 200:
            return
        shown = self.shown = answer.content
        progress = shown["progress"]
        self._scene.history.looked(
            Look(
                invoked=begun,
                answered=time.monotonic(),
                state=shown["state"],
                documents=progress["documents_done"],
                chunks=progress["chunks_done"],
                pending=progress["pending"],
                workers=progress["workers"],
                note=" ".join(str(shown[key]) for key in ("waiting", "error") if shown.get(key)),
            )
        )

    def _ask(self) -> Answer | None:
        try:
            return self._session.ask("GET", self._path)
        except (NotSent, Lost):
            return None
