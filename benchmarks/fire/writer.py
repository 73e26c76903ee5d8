"""A client that writes: it inserts, updates, deletes, makes again and patches its own documents."""

import contextlib
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.fire.history import LOST, NOT_FOUND, Kind, Outcome, Write
from benchmarks.fire.scene import Scene
from benchmarks.fire.session import Answer, Lost, NotSent, Session
from benchmarks.fire.texts import Texts

# A write waits a minute for the database.
TIMEOUT_S = 90.0
TRIES = 200
BATCH = 8
BUSY = 429
# After an unknown outcome it is mostly sent again; else something else is done to the document.
MOVES_ON = 0.25
ACTIONS = {"insert": 2, "update": 6, "delete": 1, "recreate": 4, "patch": 2, "batch": 2}


@dataclass(frozen=True)
class New:
    doc: str
    text: str
    no: int

    def to_dict(self) -> dict[str, Any]:
        return {"id": self.doc, "text": self.text, "metadata": {"no": self.no}}


class Writer:
    """`docs` are its own: nobody else writes them, and it asks for one thing at a time."""

    def __init__(self, scene: Scene, name: str, docs: Sequence[str], *, inserts: int) -> None:
        self._scene = scene
        self._name = name
        self._docs = list(docs)
        self._inserts = inserts
        self._chance = scene.chance(name)
        self._texts = Texts(f"{scene.seed}{name}", scene.corpus)
        self._no = 0
        self._session = Session(scene.port, TIMEOUT_S)
        self._rate = scene.rates.writes_s / scene.rates.writers

    def run(self) -> None:
        """Until the scene has ended."""
        try:
            while not self._scene.ended.wait(self._chance.expovariate(self._rate)):
                names, weights = zip(*ACTIONS.items(), strict=True)
                getattr(self, self._chance.choices(names, weights)[0])()
        finally:
            self._session.close()

    def insert(self) -> None:
        if self._inserts > 0:
            self._inserts -= 1
            doc = f"{self._name}-{self._inserts}"
            self._docs.append(doc)
            self._put([doc])

    def update(self) -> None:
        self._put([self._chance.choice(self._docs)])

    def batch(self) -> None:
        """Several in one request: it is not atomic, each of them counts for itself."""
        self._put(self._chance.sample(self._docs, min(len(self._docs), BATCH)))

    def delete(self) -> None:
        self._delete(self._chance.choice(self._docs))

    def recreate(self) -> None:
        """Deleted and made again with another text, some of them again and again."""
        doc = self._chance.choice(self._docs)
        for _ in range(self._chance.choice((1, 1, 1, 5))):
            self._delete(doc)
            self._put([doc])

    def recreate_all(self) -> None:
        """One after the other, until the scene has ended."""
        with contextlib.closing(self._session):
            for doc in itertools.cycle(self._docs):
                if self._scene.ended.wait(self._chance.expovariate(self._rate)):
                    return
                self._delete(doc)
                self._put([doc])

    def patch(self) -> None:
        doc, no = self._chance.choice(self._docs), self._next()
        path, body = self._path(doc), {"metadata": {"no": no}}
        self._until_known(
            lambda: self._session.ask("PATCH", path, body),
            lambda begun, answer: self._note("patch", doc, begun, answer, no=no),
        )

    def _next(self) -> int:
        self._no += 1
        return self._no

    def _path(self, doc: str) -> str:
        return f"{self._scene.path}/documents/{doc}"

    def _put(self, docs: Sequence[str]) -> None:
        new = [New(doc, self._texts.new(), self._next()) for doc in docs]
        path = f"{self._scene.path}/documents"
        body = {"documents": [one.to_dict() for one in new]}
        for one in new:
            self._scene.shelf.drop(one.doc)

        def note(begun: float, answer: Answer | Exception) -> None:
            for place, one in enumerate(new):
                self._note_put(place, one, begun, answer)

        self._until_known(lambda: self._session.ask("POST", path, body), note)

    def _note_put(self, place: int, one: New, begun: float, answer: Answer | Exception) -> None:
        if isinstance(answer, Answer) and answer.status == 200:
            result = answer.content["results"][place]
            if result["status"] == "failed":
                answer = Answer(422, result)
            elif not result.get("pending"):
                self._scene.shelf.put(one.doc, one.text)
        self._note("put", one.doc, begun, answer, text=one.text, no=one.no)

    def _delete(self, doc: str) -> None:
        self._scene.shelf.drop(doc)
        self._until_known(
            lambda: self._session.ask("DELETE", self._path(doc)),
            lambda begun, answer: self._note("delete", doc, begun, answer),
        )

    def _note(
        self,
        kind: Kind,
        doc: str,
        begun: float,
        answer: Answer | Exception,
        *,
        text: str | None = None,
        no: int | None = None,
    ) -> None:
        outcome, status, detail = _outcome(answer)
        self._scene.history.wrote(
            Write(
                doc=doc,
                kind=kind,
                invoked=begun,
                answered=time.monotonic(),
                outcome="ok" if kind == "delete" and status == NOT_FOUND else outcome,
                status=status,
                text=text,
                no=no,
                detail=detail,
            )
        )

    def _until_known(
        self,
        send: Callable[[], Answer],
        note: Callable[[float, Answer | Exception], None],
    ) -> None:
        """Send it again while it is not done, or nobody knows: bounded, and mostly."""
        for _ in range(TRIES):
            begun = time.monotonic()
            answer: Answer | Exception
            try:
                answer = send()
            except (NotSent, Lost) as error:
                answer = error
            note(begun, answer)
            status = answer.status if isinstance(answer, Answer) else LOST
            if 200 <= status < 500 and status != BUSY:
                return
            moves_on = not isinstance(answer, NotSent) and self._chance.random() < MOVES_ON
            if moves_on or self._scene.ended.wait(self._chance.uniform(0.1, 0.5)):
                return


def _outcome(answer: Answer | Exception) -> tuple[Outcome, int, str]:
    if isinstance(answer, NotSent):
        return "failed", LOST, str(answer)
    if isinstance(answer, Exception):
        return "unknown", LOST, str(answer)
    if answer.status < 300:
        return "ok", answer.status, ""
    return ("failed" if answer.status < 500 else "unknown"), answer.status, answer.problem
