"""How a sample is judged, and which rows can become documents."""

import uuid

import numpy as np
import pytest

from indexing.adoption import judging, matching, rows
from indexing.adoption.candidates import Candidate
from indexing.adoption.matching import Bounds, Match
from storage.adoption.source_rows import SourceRow


@pytest.mark.parametrize(
    ("failed", "compared", "bound"),
    [
        # The quantiles of the beta distribution (Clopper and Pearson, one-sided).
        (0, 200, 0.0148670),
        (1, 200, 0.0234985),
        (2, 200, 0.0311426),
        (0, 3, 0.6315969),
        (1000, 100_000, 0.0105332),
        (4, 5, 0.9897938),
        # All of them failed, or none was compared: nothing is known.
        (5, 5, 1.0),
        (1, 1, 1.0),
        (0, 0, 1.0),
    ],
)
def test_what_a_sample_allows(failed, compared, bound):
    share = judging.upper_bound(failed, compared)
    assert type(share) is float
    assert share == pytest.approx(bound, abs=1e-7)


def test_without_a_failure_the_bound_is_about_three_over_the_sample():
    assert judging.upper_bound(0, 1000) == pytest.approx(3 / 1000, rel=0.01)


def match(cosines, *, cut=None, unrelated=0.2, name="a", bounds=None):
    found = np.asarray(cosines, np.float64)
    over = np.zeros(len(found), np.bool_) if cut is None else np.asarray(cut)
    tokens = np.full(len(found), 10)
    return Match(Candidate(name), bounds or Bounds(), found, tokens, over, unrelated)


def test_one_in_a_hundred_may_differ():
    assert match([1] * 99 + [0.3]).matches
    assert not match([1] * 98 + [0.3, 0.3]).matches
    assert match([0.95] * 10, bounds=Bounds(least_cosine=0.9)).matches


def test_a_text_without_a_vector_is_not_compared():
    found = match([1, np.nan, 0.5])
    assert found.compared.sum() == 2
    assert found.share == 0.5
    assert not match([np.nan]).matches


def test_near_is_relative_to_other_texts():
    assert match([0.9] * 10, unrelated=0.2).is_near
    assert not match([0.9] * 10, unrelated=0.88).is_near
    assert not match([1.0] * 10).is_near


def test_a_limit_shows_in_the_texts_over_it():
    cosines = [1] * 300 + [0.9, 0.9]
    cut = [False] * 300 + [True] * 2
    assert match(cosines, cut=cut).matches
    assert match(cosines, cut=cut).cut_elsewhere
    assert not match([1] * 302, cut=cut).cut_elsewhere


def test_the_nearest_is_best_and_of_equals_the_first():
    good = [match([1 - 1e-9] * 9, name="a"), match([1] * 9, name="b"), match([0.9995] * 9)]
    chosen = matching.best(good)
    assert chosen is not None
    assert chosen.candidate.name == "a"
    assert matching.best([match([0.5] * 9)]) is None


def row(id_="a", text="a boat", metadata="{}", embedding=None):
    return SourceRow(id_, text, metadata, embedding)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (row(), None),
        (row(id_=None), "no id"),
        (row(id_="é" * 257), "id too long"),
        (row(id_="é" * 256), None),
        (row(text="\u2003\n"), "no text"),
        (row(text="x" * 101), "text too long"),
        (row(metadata='{"a": [[[1]]]}'), None),
        (row(metadata='{"a": [[[[1]]]]}'), "metadata too deep"),
        (row(metadata='{"a": "{{[[[[[[["}'), None),
        (row(metadata='{"a":' * 9000 + "1" + "}" * 9000), "metadata too deep"),
    ],
)
def test_rows_that_cannot_become_documents(found, reason):
    limits = rows.RowLimits(id_bytes=512, text_chars=100, metadata_depth=4)
    rules = rows.Rules(
        collection_id=uuid.uuid4(),
        space_id=1,
        dimensions=3,
        limits=limits,
        stale=frozenset(),
        cut_elsewhere=False,
    )
    assert rules.refusal(found) == reason


def test_directions_alone_count():
    small = np.asarray([3e-5, 4e-5], np.float32)
    unit = matching.unit_length(small, 2)
    assert unit is not None
    assert unit.tolist() == pytest.approx([0.6, 0.8])
    for odd in ([0, 0], [np.nan, 1], [np.inf, 1], [1, 2, 3]):
        assert matching.unit_length(np.asarray(odd, np.float32), 2) is None
