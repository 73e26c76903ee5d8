"""What is surely stored at present, as far as any client knows: what searches ask for."""

import collections
import random
import threading

REMEMBERED = 200


class Shelf:
    """Shared by all clients."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._ids: list[str] = []
        self._places: dict[str, int] = {}
        self._gone: collections.deque[str] = collections.deque(maxlen=REMEMBERED)
        self._lock = threading.Lock()

    def put(self, doc: str, text: str) -> None:
        with self._lock:
            if (former := self._texts.get(doc)) is not None:
                self._gone.append(former)
            else:
                self._places[doc] = len(self._ids)
                self._ids.append(doc)
            self._texts[doc] = text

    def drop(self, doc: str) -> None:
        """It was deleted, or nobody knows."""
        with self._lock:
            text = self._texts.pop(doc, None)
            if text is None:
                return
            self._gone.append(text)
            place, last = self._places.pop(doc), self._ids.pop()
            if last != doc:
                self._ids[place] = last
                self._places[last] = place

    def any(self, chance: random.Random) -> tuple[str, str] | None:
        """A document and its text."""
        with self._lock:
            if not self._ids:
                return None
            doc = chance.choice(self._ids)
            return doc, self._texts[doc]

    def gone(self, chance: random.Random) -> str | None:
        """A text that was replaced or deleted not long ago."""
        with self._lock:
            return chance.choice(self._gone) if self._gone else None

    def all(self) -> dict[str, str]:
        with self._lock:
            return dict(self._texts)
