import numpy as np
import pytest

from embedding.canaries import check
from embedding.model_files import description
from embedding.text import tokenizer as text_tokenizer
from tests import models

RANDOM = np.random.default_rng(7)
NATURAL = next(no for no in check.ALL if check.TEXTS[no].kind == "natural")
EDGE = next(no for no in check.ALL if check.TEXTS[no].kind == "edge")


@pytest.fixture
def reference():
    vectors = RANDOM.normal(size=(len(check.TEXTS), 32)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def moved(vectors, no, cosine):
    """The same vectors, but for one that stands at this cosine to its old self."""
    other = RANDOM.normal(size=vectors.shape[1])
    other -= (other @ vectors[no]) * vectors[no]
    other /= np.linalg.norm(other)
    result = vectors.astype(np.float64)
    result[no] = cosine * vectors[no] + np.sqrt(1 - cosine**2) * other
    return result


def test_texts_are_about_fifty_a_third_of_them_natural_and_none_twice():
    kinds = [canary.kind for canary in check.TEXTS]
    assert 45 <= len(kinds) <= 60
    assert 0.25 < kinds.count("natural") / len(kinds) < 0.45
    assert len({canary.text for canary in check.TEXTS}) == len(kinds)


def test_eight_texts_of_both_kinds_are_the_quick_ones():
    assert len(set(check.QUICK)) == 8
    assert {check.TEXTS[no].kind for no in check.QUICK} == {"natural", "edge"}


def test_equal_vectors_are_quiet(reference):
    report = check.compare(reference, reference)
    assert report.level == "quiet"
    assert report.moved == ()
    assert report.worst_natural == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("no", "cosine", "level"),
    [
        (NATURAL, 0.99995, "quiet"),
        (NATURAL, 0.99985, "warn"),
        (NATURAL, 0.9985, "refuse"),
        (EDGE, 0.9991, "quiet"),
        (EDGE, 0.9985, "warn"),
        (EDGE, 0.9895, "refuse"),
    ],
)
def test_the_bounds_depend_on_the_kind_of_text(reference, no, cosine, level):
    report = check.compare(reference, moved(reference, no, cosine))
    assert report.level == level
    assert [text for text, _ in report.moved] == (
        [] if level == "quiet" else [check.TEXTS[no].text]
    )
    if level != "quiet":
        assert report.moved[0][1] == pytest.approx(cosine, abs=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_an_invalid_vector_is_refused(reference, bad):
    vectors = reference.copy()
    vectors[EDGE] = bad
    report = check.compare(reference, vectors)
    assert (report.level, report.worst_edge) == ("refuse", 0.0)


def test_vectors_of_another_size_are_refused(reference):
    assert check.compare(reference, reference[:, :16]).level == "refuse"


def test_some_of_the_texts_are_compared_by_themselves(reference):
    which = check.QUICK
    vectors = moved(reference, which[3], 0.95)
    report = check.compare(reference[list(which)], vectors[list(which)], which)
    assert [text for text, _ in report.moved] == [check.TEXTS[which[3]].text]


def test_a_text_that_the_reference_has_no_vector_for_is_passed_over(reference):
    vectors = reference.copy()
    reference[EDGE] = 0
    vectors[EDGE] = np.nan
    assert check.compare(reference, vectors).level == "quiet"


def test_two_comparisons_are_as_bad_as_the_worse_one(reference):
    good = check.compare(reference, moved(reference, NATURAL, 0.9998))
    bad = check.compare(reference, moved(reference, NATURAL, 0.9))
    both = check.combine(good, bad)
    assert both.level == "refuse"
    assert both.moved == bad.moved
    assert check.TEXTS[NATURAL].text[:20] in both.describe()


class FakeEncoder:
    """Vectors that depend on a row's tokens only, alone and in a batch."""

    backend, dtype = "fake", "f32"
    separate_query = False
    parallel_batches = 1
    batch_rows, batch_tokens = 8, 8 * 256

    def query(self, rows, pooled_from):
        return np.stack([np.random.default_rng(row).normal(size=32) for row in rows])

    def bulk(self, rows, pooled_from):
        return self.query(rows, pooled_from)

    def close(self):
        pass


@pytest.fixture(scope="module")
def minilm():
    return description.describe("minilm", models.minilm_directory())


@pytest.mark.parametrize("which", [check.ALL, check.QUICK])
def test_an_encoder_is_compared_with_the_reference_of_the_space(minilm, which):
    tokenizer = text_tokenizer.load(minilm)
    encoder = FakeEncoder()
    rows = check.Check(tokenizer, minilm, np.empty((len(check.TEXTS), 32), np.float32)).rows
    vectors = encoder.query(rows, 0)
    reference = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    sound = check.Check(tokenizer, minilm, reference)
    assert sound.run(encoder, which).level == "quiet"
    batched, alone = (sound.vectors(encoder, which, alone=alone) for alone in (False, True))
    assert np.allclose(batched, reference[list(which)], atol=1e-6)
    assert np.allclose(alone, batched)
    stored = np.roll(reference, 1, axis=0)
    report = sound.report(which, batched=batched, alone=alone, reference=stored)
    assert report.level == "refuse"
    batched[0] = np.nan
    assert sound.report(which, batched=batched, alone=alone).level == "refuse"
