"""A client that searches at random times, by texts that are stored, or were until a while ago."""

import time
from typing import Any

from benchmarks.fire.history import LOST, Hit, Search
from benchmarks.fire.scene import Scene
from benchmarks.fire.session import Lost, NotSent, Session
from benchmarks.fire.texts import is_short

TIMEOUT_S = 60.0
LIMIT = 10
DEMANDS = 0.15
FORMER = 0.15


class Searcher:
    def __init__(self, scene: Scene, name: str) -> None:
        self._scene = scene
        self._chance = scene.chance(name)
        self._session = Session(scene.port, TIMEOUT_S)
        self._rate = scene.rates.searches_s / scene.rates.searchers

    def run(self) -> None:
        """Until the scene has ended."""
        try:
            while not self._scene.ended.wait(self._chance.expovariate(self._rate)):
                self.once()
        finally:
            self.close()

    def close(self) -> None:
        self._session.close()

    def once(self) -> None:
        chance, shelf = self._chance, self._scene.shelf
        former = shelf.gone(chance) if chance.random() < FORMER else None
        stored = shelf.any(chance)
        demanded = chance.random() < DEMANDS and self._scene.spaces
        expects = chance.choice(self._scene.spaces) if demanded else None
        exact = chance.random() < 0.5
        if former is not None:
            self.by(former, None, exact=exact, expects=expects)
        elif stored is not None:
            doc, text = stored
            self.by(text, doc, exact=exact, expects=expects)

    def by(self, text: str, doc: str | None, *, exact: bool, expects: str | None = None) -> None:
        """Search, and note it; `doc` is the one whose whole text it is."""
        wish: dict[str, Any] = {"q": text, "limit": LIMIT, "exact": exact}
        if expects is not None:
            wish["expect_space"] = expects
        begun = time.monotonic()
        status, detail, content = LOST, "", None
        try:
            answer = self._session.ask("POST", f"{self._scene.path}/search", wish)
        except (NotSent, Lost) as error:
            detail = f"{type(error).__name__}: {error}"
            # What is down is not asked again at once.
            self._scene.ended.wait(0.1)
        else:
            status, content = answer.status, answer.content
            detail = "" if status == 200 else answer.problem
        known = content if status == 200 and isinstance(content, dict) else {}
        self._scene.history.searched(
            Search(
                invoked=begun,
                answered=time.monotonic(),
                query=text,
                status=status,
                # A text of several chunks may lie nearer to others than to each of its own.
                doc=doc if is_short(text) else None,
                exact=exact,
                expects=expects,
                space=known.get("space", {}).get("id", ""),
                index=known.get("index", 0),
                hits=tuple(_hit(one) for one in known.get("results", [])),
                detail=detail,
            )
        )


def _hit(found: dict[str, Any]) -> Hit:
    chunk = found["chunk"]
    return Hit(
        found["id"], chunk["text"], chunk["start"], chunk["end"], found["metadata"].get("no")
    )
