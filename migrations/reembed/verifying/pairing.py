"""The scores of the same pairs of a query and a document in both spaces."""

from collections.abc import Sequence

import numpy as np

from migrations.reembed.verifying.side import Side, Vector
from migrations.reembed.verifying.translation import Pairs

# Deep enough to see documents that one space ranks high and the other low.
_DEPTH = 50


async def pairs(old: Side, new: Side, queries: Sequence[tuple[Vector, Vector]]) -> Pairs:
    """Of the union of both lists of the nearest; `queries` are (old, new) vectors."""
    rows: list[tuple[int, float, float, bool]] = []
    for no, (old_vector, new_vector) in enumerate(queries):
        found = {hit.doc_key: hit.score for hit in await old.nearest(old_vector, _DEPTH)}
        others = {hit.doc_key: hit.score for hit in await new.nearest(new_vector, _DEPTH)}
        # What only one of them lists has a score in the other all the same.
        by_old = found | await old.scores(old_vector, others.keys() - found.keys())
        by_new = others | await new.scores(new_vector, found.keys() - others.keys())
        rows += [
            (no, by_old[key], by_new[key], key in found)
            for key in sorted(by_old.keys() & by_new.keys())
        ]
    return Pairs(
        query=np.array([row[0] for row in rows], np.int64),
        old=np.array([row[1] for row in rows], np.float64),
        new=np.array([row[2] for row in rows], np.float64),
        found=np.array([row[3] for row in rows], np.bool_),
    )
