"""Hand-written histories of one document, and possible contents of the tables."""

import uuid
import zlib

import numpy as np
import pytest

from benchmarks.fire import history as records
from benchmarks.fire import snapshot
from benchmarks.fire.cutover import Cutover, Side

OLD, NEW = Side(1, "fp1:old"), Side(2, "fp1:new")
EVERYWHERE = Cutover(OLD, NEW, not_before=100.0, known=200.0)


def put(text, started, ended, outcome="ok", *, doc="d", no=0):
    return records.Write(
        doc=doc, kind="put", invoked=started, answered=ended, outcome=outcome, text=text, no=no
    )


def patch(no, started, ended, outcome="ok", status=200, *, doc="d"):
    return records.Write(
        doc=doc,
        kind="patch",
        invoked=started,
        answered=ended,
        outcome=outcome,
        status=status,
        no=no,
    )


def delete(started, ended, outcome="ok", status=204, doc="d"):
    return records.Write(
        doc=doc, kind="delete", invoked=started, answered=ended, outcome=outcome, status=status
    )


def search(started, ended, *hits, side=OLD, **more):
    """Hits are texts of document d, or pairs of a document and its text."""
    pairs = [hit if isinstance(hit, tuple) else ("d", hit) for hit in hits]
    hits_ = tuple(records.Hit(doc, text, 0, len(text), no=0) for doc, text in pairs)
    values = {"query": "?", "space": side.space, "index": side.index, "hits": hits_, **more}
    return records.Search(invoked=started, answered=ended, **values)


def history(*events):
    record = records.History()
    for event in events:
        match event:
            case records.Write():
                record.add_writes(event)
            case records.Search():
                record.add_search(event)
            case records.Observation():
                record.add_observation(event)
            case records.Kill():
                record.add_kill(event)
    return record


def vector_of(text):
    """A unit vector that differs for every text."""
    chance = np.random.default_rng(zlib.crc32(text.encode()))
    raw = chance.normal(size=16).astype(np.float32)
    return raw / np.linalg.norm(raw)


def embed(_fingerprint, texts):
    return np.stack([vector_of(text) for text in texts])


def document(text, id_="d", no=0):
    key = uuid.uuid5(uuid.NAMESPACE_OID, id_)
    return snapshot.Document(key, id_, text, text.encode()[:16], no)


def rows(doc, spans=None, space_id=7, text=None):
    """The vectors of a document, one for each span; `text` is the text they were computed from."""
    text = doc.text if text is None else text
    return [
        snapshot.Vector(
            doc.key, no, doc.text_hash, space_id, start, end, vector_of(text[start:end])
        )
        for no, (start, end) in enumerate(spans or [(0, len(doc.text))])
    ]


def index(*vectors, pending=(), id_=1, state="active"):
    return snapshot.Index(id_, state, 7, "fp1:old", list(vectors), frozenset(pending))


@pytest.fixture
def newt():
    return document("a newt")
