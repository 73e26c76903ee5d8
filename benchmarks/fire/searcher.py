"""A client that searches at random times for texts that are stored, or were until recently."""

import time
from typing import Any

from benchmarks.fire.context import RunContext
from benchmarks.fire.history import LOST, Hit, Search
from benchmarks.fire.session import Lost, NotSent, Session
from benchmarks.fire.texts import is_short

TIMEOUT_S = 60.0
LIMIT = 10
# Probability that a search expects a space, and that it is for a former text.
EXPECT_SPACE = 0.15
FORMER_TEXT = 0.15


class Searcher:
    def __init__(self, context: RunContext, name: str) -> None:
        self._context = context
        self._random = context.random_for(name)
        self._session = Session(context.port, TIMEOUT_S)
        self._rate = context.rates.searches_s / context.rates.searchers

    def run(self) -> None:
        """Search until the phase ends."""
        try:
            while not self._context.ended.wait(self._random.expovariate(self._rate)):
                self.search_known_text()
        finally:
            self.close()

    def close(self) -> None:
        self._session.close()

    def search_known_text(self) -> None:
        random_, known = self._random, self._context.known_documents
        text = known.pick_former_text(random_) if random_.random() < FORMER_TEXT else None
        stored = known.pick(random_)
        expected = random_.random() < EXPECT_SPACE and self._context.spaces
        expects = random_.choice(self._context.spaces) if expected else None
        exact = random_.random() < 0.5
        if text is not None:
            self.search(text, None, exact=exact, expects=expects)
        elif stored is not None:
            doc, text = stored
            self.search(text, doc, exact=exact, expects=expects)

    def search(
        self, text: str, doc: str | None, *, exact: bool, expects: str | None = None
    ) -> None:
        """Search and record it; `doc` is the document whose whole text this is."""
        request: dict[str, Any] = {"q": text, "limit": LIMIT, "exact": exact}
        if expects is not None:
            request["expect_space"] = expects
        started = time.monotonic()
        status, detail, content = LOST, "", None
        try:
            answer = self._session.ask("POST", f"{self._context.path}/search", request)
        except (NotSent, Lost) as error:
            detail = f"{type(error).__name__}: {error}"
            # Don't hammer a service that is down.
            self._context.ended.wait(0.1)
        else:
            status, content = answer.status, answer.content
            detail = "" if status == 200 else answer.problem
        response = content if status == 200 and isinstance(content, dict) else {}
        self._context.history.add_search(
            Search(
                invoked=started,
                answered=time.monotonic(),
                query=text,
                status=status,
                # A text of several chunks may be nearer to other documents than to its own chunks.
                doc=doc if is_short(text) else None,
                exact=exact,
                expects=expects,
                space=response.get("space", {}).get("id", ""),
                index=response.get("index", 0),
                hits=tuple(_hit(result) for result in response.get("results", [])),
                detail=detail,
            )
        )


def _hit(result: dict[str, Any]) -> Hit:
    chunk = result["chunk"]
    return Hit(
        result["id"], chunk["text"], chunk["start"], chunk["end"], result["metadata"].get("no")
    )
