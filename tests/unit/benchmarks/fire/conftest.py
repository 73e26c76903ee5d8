"""Hand-made histories of one document, and what the tables could hold of it."""

import uuid
import zlib

import numpy as np
import pytest

from benchmarks.fire import history as told
from benchmarks.fire import stored
from benchmarks.fire.cutover import Cutover, Side

OLD, NEW = Side(1, "fp1:old"), Side(2, "fp1:new")
EVERYWHERE = Cutover(OLD, NEW, not_before=100.0, known=200.0)


def put(text, begun, ended, outcome="ok", *, doc="d", no=0):
    return told.Write(
        doc=doc, kind="put", invoked=begun, answered=ended, outcome=outcome, text=text, no=no
    )


def patch(no, begun, ended, outcome="ok", status=200, *, doc="d"):
    return told.Write(
        doc=doc, kind="patch", invoked=begun, answered=ended, outcome=outcome, status=status, no=no
    )


def delete(begun, ended, outcome="ok", status=204, doc="d"):
    return told.Write(
        doc=doc, kind="delete", invoked=begun, answered=ended, outcome=outcome, status=status
    )


def search(begun, ended, *hits, side=OLD, **more):
    """Hits are texts of the document d, or pairs of a document and its text."""
    pairs = [hit if isinstance(hit, tuple) else ("d", hit) for hit in hits]
    found = tuple(told.Hit(doc, text, 0, len(text), no=0) for doc, text in pairs)
    values = {"query": "?", "space": side.space, "index": side.index, "hits": found, **more}
    return told.Search(invoked=begun, answered=ended, **values)


def history(*events):
    made = told.History()
    for event in events:
        match event:
            case told.Write():
                made.wrote(event)
            case told.Search():
                made.searched(event)
            case told.Look():
                made.looked(event)
            case told.Kill():
                made.killed(event)
    return made


def vector_of(text):
    """A unit vector that is another for every text."""
    chance = np.random.default_rng(zlib.crc32(text.encode()))
    raw = chance.normal(size=16).astype(np.float32)
    return raw / np.linalg.norm(raw)


def embed(_fingerprint, texts):
    return np.stack([vector_of(text) for text in texts])


def document(text, id_="d", no=0):
    key = uuid.uuid5(uuid.NAMESPACE_OID, id_)
    return stored.Document(key, id_, text, text.encode()[:16], no)


def rows(one, spans=None, space_id=7, of=None):
    """The vectors of a document, one for each span; `of` is the text that they were made of."""
    text = one.text if of is None else of
    return [
        stored.Vector(one.key, no, one.text_hash, space_id, start, end, vector_of(text[start:end]))
        for no, (start, end) in enumerate(spans or [(0, len(one.text))])
    ]


def index(*vectors, pending=(), id_=1, state="active"):
    return stored.Index(id_, state, 7, "fp1:old", list(vectors), frozenset(pending))


@pytest.fixture
def one():
    return document("a newt")
