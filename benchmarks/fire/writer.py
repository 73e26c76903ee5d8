"""A client that inserts, updates, deletes, recreates and patches its own documents."""

import contextlib
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.fire.context import RunContext
from benchmarks.fire.history import LOST, NOT_FOUND, Kind, Outcome, Write
from benchmarks.fire.session import Answer, Lost, NotSent, Session
from benchmarks.fire.texts import Texts

# The service itself waits up to a minute for the database.
TIMEOUT_S = 90.0
TRIES = 200
BATCH = 8
BUSY = 429
# Probability that a request of unknown outcome isn't resent, so that other writes follow it.
MOVE_ON = 0.25
ACTIONS = {"insert": 2, "update": 6, "delete": 1, "recreate": 4, "patch": 2, "batch": 2}


@dataclass(frozen=True)
class NewDocument:
    doc: str
    text: str
    no: int

    def to_dict(self) -> dict[str, Any]:
        return {"id": self.doc, "text": self.text, "metadata": {"no": self.no}}


class Writer:
    """Nobody else writes its `docs`, and it sends one request at a time."""

    def __init__(
        self, context: RunContext, name: str, docs: Sequence[str], *, inserts: int
    ) -> None:
        self._context = context
        self._name = name
        self._docs = list(docs)
        self._inserts = inserts
        self._random = context.random_for(name)
        self._texts = Texts(f"{context.seed}{name}", context.corpus)
        self._no = 0
        self._session = Session(context.port, TIMEOUT_S)
        self._rate = context.rates.writes_s / context.rates.writers

    def run(self) -> None:
        """Write until the phase ends."""
        try:
            while not self._context.ended.wait(self._random.expovariate(self._rate)):
                names, weights = zip(*ACTIONS.items(), strict=True)
                getattr(self, self._random.choices(names, weights)[0])()
        finally:
            self._session.close()

    def insert(self) -> None:
        if self._inserts > 0:
            self._inserts -= 1
            doc = f"{self._name}-{self._inserts}"
            self._docs.append(doc)
            self._put([doc])

    def update(self) -> None:
        self._put([self._random.choice(self._docs)])

    def batch(self) -> None:
        """Update several in one request, which is not atomic: each succeeds or fails on its own."""
        self._put(self._random.sample(self._docs, min(len(self._docs), BATCH)))

    def delete(self) -> None:
        self._delete(self._random.choice(self._docs))

    def recreate(self) -> None:
        """Delete and recreate a document with another text, sometimes five times in a row."""
        doc = self._random.choice(self._docs)
        for _ in range(self._random.choice((1, 1, 1, 5))):
            self._delete(doc)
            self._put([doc])

    def recreate_all(self) -> None:
        """Recreate the documents in turn until the phase ends."""
        with contextlib.closing(self._session):
            for doc in itertools.cycle(self._docs):
                if self._context.ended.wait(self._random.expovariate(self._rate)):
                    return
                self._delete(doc)
                self._put([doc])

    def patch(self) -> None:
        doc, no = self._random.choice(self._docs), self._next()
        path, body = self._path(doc), {"metadata": {"no": no}}
        self._until_known(
            lambda: self._session.ask("PATCH", path, body),
            lambda started, answer: self._note("patch", doc, started, answer, no=no),
        )

    def _next(self) -> int:
        self._no += 1
        return self._no

    def _path(self, doc: str) -> str:
        return f"{self._context.path}/documents/{doc}"

    def _put(self, docs: Sequence[str]) -> None:
        documents = [NewDocument(doc, self._texts.new(), self._next()) for doc in docs]
        path = f"{self._context.path}/documents"
        body = {"documents": [document.to_dict() for document in documents]}
        for document in documents:
            self._context.known_documents.remove(document.doc)

        def note(started: float, answer: Answer | Exception) -> None:
            for position, document in enumerate(documents):
                self._note_put(position, document, started, answer)

        self._until_known(lambda: self._session.ask("POST", path, body), note)

    def _note_put(
        self, position: int, document: NewDocument, started: float, answer: Answer | Exception
    ) -> None:
        if isinstance(answer, Answer) and answer.status == 200:
            result = answer.content["results"][position]
            if result["status"] == "failed":
                answer = Answer(422, result)
            elif not result.get("pending"):
                self._context.known_documents.put(document.doc, document.text)
        self._note("put", document.doc, started, answer, text=document.text, no=document.no)

    def _delete(self, doc: str) -> None:
        self._context.known_documents.remove(doc)
        self._until_known(
            lambda: self._session.ask("DELETE", self._path(doc)),
            lambda started, answer: self._note("delete", doc, started, answer),
        )

    def _note(
        self,
        kind: Kind,
        doc: str,
        started: float,
        answer: Answer | Exception,
        *,
        text: str | None = None,
        no: int | None = None,
    ) -> None:
        outcome, status, detail = _outcome(answer)
        self._context.history.add_writes(
            Write(
                doc=doc,
                kind=kind,
                invoked=started,
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
        """Resend while the request failed or its outcome is unknown, usually, up to TRIES times."""
        for _ in range(TRIES):
            started = time.monotonic()
            answer: Answer | Exception
            try:
                answer = send()
            except (NotSent, Lost) as error:
                answer = error
            note(started, answer)
            status = answer.status if isinstance(answer, Answer) else LOST
            if 200 <= status < 500 and status != BUSY:
                return
            moves_on = not isinstance(answer, NotSent) and self._random.random() < MOVE_ON
            if moves_on or self._context.ended.wait(self._random.uniform(0.1, 0.5)):
                return


def _outcome(answer: Answer | Exception) -> tuple[Outcome, int, str]:
    if isinstance(answer, NotSent):
        return "failed", LOST, str(answer)
    if isinstance(answer, Exception):
        return "unknown", LOST, str(answer)
    if answer.status < 300:
        return "ok", answer.status, ""
    return ("failed" if answer.status < 500 else "unknown"), answer.status, answer.problem
