"""How the parts embeddings, latency, int8 and overload turn measurements into table rows."""

import numpy as np
import pytest

from benchmarks import bare_encoder, configuration, corpora, int8, latency, load_generator, overload


def corpus():
    documents = {"near": "a", "far": "b", "other": "c"}
    return int8.JudgedCorpus(documents, {"q": "?"}, {"q": {"near": 1}})


@pytest.mark.parametrize(("query", "score"), [([1, 0], 1.0), ([0, 1], 0.5)])
def test_ndcg_ranks_documents_by_cosine(query, score):
    documents = np.array([[1, 0], [-1, 0], [0, 1]], np.float32)
    vectors = int8.Vectors(documents, np.array([query], np.float32))
    # Second of three: 1 / log2(3).
    expected = score if score == 1.0 else 1 / np.log2(3)
    assert corpus().ndcg(vectors) == pytest.approx(expected)


def test_calibration_texts_are_single_lines_of_varied_lengths():
    glosses = [corpora.Document(str(no), "", f"a\ngloss {no}") for no in range(4000)]
    texts = int8.calibration(glosses)
    assert len(texts) == int8.CALIBRATION_TEXTS
    assert not any("\n" in text for text in texts)
    assert {text.count("gloss") for text in texts} == set(int8.GLOSSES)
    assert sum(text.count("gloss") for text in texts) == len(
        {word for text in texts for word in text.split() if word.isdigit()}
    )


def test_the_batch_size_with_the_best_median_counts():
    runs = bare_encoder.Runs()
    for slow, fast in [(1.0, 9.0), (8.0, 2.0), (2.0, 3.0)]:
        runs.add(bare_encoder.Rates({"8": slow, "16": fast}, 0.0, 0.0, "openvino bf16"))
    assert runs.best() == ("16", [9.0, 2.0, 3.0])


def config(tmp_path):
    return configuration.Config(
        folder=tmp_path,
        scifact_folder=None,
        wordnet_folder=None,
        sizes=configuration.Sizes(),
        runs=1,
        settings={},
        infinity=None,
        overload_clients=200,
        overload_s=60,
        log=print,
    )


@pytest.mark.parametrize(
    ("statuses", "without", "met"),
    [
        ({"200": 40, "429": 900}, 0, [True, True]),
        ({"200": 40, "429": 900}, 1, [True, False]),
        ({"200": 40, "429": 900, "503": 1}, 0, [False, True]),
        ({"200": 40, "ConnectionResetError": 1}, 0, [False, True]),
    ],
)
def test_any_answer_but_200_and_429_fails_the_overload(statuses, without, met, tmp_path):
    answers = load_generator.Answers(0.0, 60.0, statuses, without)
    rows = overload._rows(
        config(tmp_path), overload.Results(answers, 500.0, 900.0, [3.0, 3.0], [3.5, 3.7])
    )
    assert [row.is_met for row in rows] == [*met, True, True]


def test_queries_during_a_load_are_compared_with_the_idle_median():
    times = latency.Times(
        idle=[3.0, 3.2, 9.0],
        bare=[2.0, 2.1, 2.2],
        loaded=[4.0] * 98 + [15.0, 17.0],
        bulk_alone=[50.0],
        bulk=[42.0],
    )
    rows = latency._rows(times)
    assert [(row.value, row.other) for row in rows] == [
        (3.2, 2.1),
        (9.0, 2.2),
        (4.0, 3.2),
        (15.0, 3.2),
        (42.0, 50.0),
    ]
    assert [row.is_met for row in rows] == [True, None, None, True, False]
