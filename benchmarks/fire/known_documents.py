"""The documents that are certainly stored right now, from which searches pick their texts."""

import collections
import random
import threading

REMEMBERED = 200


class KnownDocuments:
    """Shared by all clients."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._ids: list[str] = []
        self._positions: dict[str, int] = {}
        self._former_texts: collections.deque[str] = collections.deque(maxlen=REMEMBERED)
        self._lock = threading.Lock()

    def put(self, doc: str, text: str) -> None:
        with self._lock:
            if (old_text := self._texts.get(doc)) is not None:
                self._former_texts.append(old_text)
            else:
                self._positions[doc] = len(self._ids)
                self._ids.append(doc)
            self._texts[doc] = text

    def remove(self, doc: str) -> None:
        """Remove a document that was deleted or whose state is unknown."""
        with self._lock:
            text = self._texts.pop(doc, None)
            if text is None:
                return
            self._former_texts.append(text)
            position, last = self._positions.pop(doc), self._ids.pop()
            if last != doc:
                self._ids[position] = last
                self._positions[last] = position

    def pick(self, random_: random.Random) -> tuple[str, str] | None:
        """A random document and its text."""
        with self._lock:
            if not self._ids:
                return None
            doc = random_.choice(self._ids)
            return doc, self._texts[doc]

    def pick_former_text(self, random_: random.Random) -> str | None:
        """A random text that was replaced or deleted recently."""
        with self._lock:
            return random_.choice(self._former_texts) if self._former_texts else None

    def texts(self) -> dict[str, str]:
        with self._lock:
            return dict(self._texts)
