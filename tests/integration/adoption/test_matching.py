"""Finding the model that made a table's vectors, and refusing if none did."""

import re

import numpy as np
import pytest

from indexing import errors
from storage.errors import SourceUnusable
from tests import models
from tests.integration.adoption.conftest import PASSAGE, some_texts

TEXTS = some_texts(300)


def rows(vectors, texts=TEXTS):
    return list(zip(range(len(texts)), texts, vectors, strict=True))


def verdicts(report):
    return {
        candidate["model"]: candidate["verdict"] for candidate in report.as_json()["candidates"]
    }


@pytest.mark.parametrize("kind", ["vector(256)", "halfvec(256)", "vector"])
async def test_the_unknown_model_is_found_among_several(source, adopt, embed, kind):
    assert np.linalg.norm(embed(TEXTS), axis=1).min() > 2  # not of unit length
    source.table(rows(embed(TEXTS)), columns=f"id bigint, content text, embedding {kind}")
    report = await adopt(dry_run=True)
    found = report.as_json()
    assert found["model"]["name"] == "original"
    outcomes = verdicts(report)
    assert outcomes.pop("original") == "matches"
    assert outcomes.pop("prompted") == "nearly matches"
    assert outcomes.pop("strange") == "not its vectors"
    assert outcomes == {"sentence-transformers/all-MiniLM-L6-v2": "other dimensions"}
    [original] = [entry for entry in found["candidates"] if entry["model"] == "original"]
    assert original["worst"] > 0.9999
    assert original["compared"] == 200
    assert found["stale"] == []
    assert found["collection"] is None


async def test_the_prompt_of_the_model_is_distinguished_from_none(source, adopt, embed):
    source.table(rows(embed(TEXTS, prompt=PASSAGE)))
    report = await adopt(dry_run=True)
    assert report.as_json()["model"]["name"] == "prompted"


async def test_another_prompt_is_refused_and_named(source, adopt, embed):
    source.table(rows(embed(TEXTS, prompt=PASSAGE)))
    with pytest.raises(errors.AdoptionRefused) as refused:
        await adopt(claimed=("original",))
    assert "made with the prompt 'passage: ', this model has ''" in str(refused.value)
    assert re.search(r"--document-prompt 'passage: '`, then adopt", str(refused.value))


async def test_an_unusual_prompt_is_refused_too(source, adopt, embed):
    source.table(rows(embed(TEXTS, prompt="about: ")))
    with pytest.raises(errors.AdoptionRefused, match="what may differ: the prompt"):
        await adopt(claimed=("original",))


async def test_shuffled_vectors_are_refused(source, adopt, embed, stored):
    source.table(rows(np.roll(embed(TEXTS), 1, axis=0)))
    refusal = "none of these models made the vectors of public.notes: sentence-tr"
    with pytest.raises(errors.AdoptionRefused, match=refusal):
        await adopt()
    assert stored.execute("SELECT count(*) FROM collections").fetchone() == (0,)
    assert stored.execute("SELECT count(*) FROM spaces").fetchone() == (0,)


async def test_a_shorter_limit_is_named(source, adopt, embed):
    long = some_texts(300, words=150)
    source.table(rows(embed(long, limit=64), long))
    with pytest.raises(errors.AdoptionRefused, match=r"cut at 64 tokens, .* --max-tokens 64`"):
        await adopt(claimed=("original",))


async def test_a_longer_limit_is_recognised_by_the_texts_that_match(source, adopt, embed, roots):
    mixed = [*some_texts(150), *some_texts(150, words=150)]
    source.table(rows(embed(mixed), mixed))
    flags = {"model": str(roots / "original"), "max_tokens": 32}
    with pytest.raises(errors.AdoptionRefused, match="embedded with a longer limit") as refused:
        await adopt(flags=flags, claimed=(flags["model"],))
    assert "texts of up to 32 tokens match (100.0% of" in str(refused.value)


async def test_many_changed_texts_are_distinguished_from_another_model(source, adopt, embed):
    vectors = embed(TEXTS)
    vectors[::10] = embed(some_texts(30, seed=2))
    source.table(rows(vectors))
    with pytest.raises(errors.AdoptionRefused, match="changed after they were embedded") as refused:
        await adopt(claimed=("original",), sample=300)
    assert "30 of 300 don't" in str(refused.value)
    report = await adopt(claimed=("original",), sample=300, least_share=0.85)
    assert len(report.as_json()["stale"]) == 30


async def test_a_model_out_of_reach_is_not_adopted_from(source, adopt, embed, roots):
    source.table(rows(embed(TEXTS)))
    with pytest.raises(errors.AdoptionRefused, match="vecmark models add"):
        await adopt(flags={"model_roots": []}, claimed=(str(roots / "original"),))


@pytest.fixture(scope="session")
def resaved(roots, tmp_path_factory):
    """A folder with a model of another fingerprint and, to six digits, the same vectors."""
    folder = tmp_path_factory.mktemp("resaved")
    models.variant(folder / "resaved", source=roots / "original", tensors=models.shaken)
    return folder


async def test_of_two_that_match_the_first_is_taken_and_the_other_reported(
    source, adopt, embed, *, roots, resaved, stored
):
    source.table(rows(embed(TEXTS)))
    flags = {"model_roots": [roots, resaved]}
    found = (await adopt(flags=flags)).as_json()
    assert found["model"]["name"] == "original"
    assert found["matching_too"] == [{"name": "resaved", "linked": False}]
    [other] = [entry for entry in found["candidates"] if entry["model"] == "resaved"]
    stored.execute(
        "INSERT INTO space_links (fingerprint, space_id, worst_cosine)"
        " SELECT %s, id, 1 FROM spaces",
        [other["space"]],
    )
    again = (await adopt(flags=flags, dry_run=True, collection="again")).as_json()
    assert again["matching_too"] == [{"name": "resaved", "linked": True}]
    linked = await adopt(flags=flags, claimed=("resaved",), collection="linked")
    assert linked.as_json()["imported"]["space"] == found["model"]["space"]
    spaces = stored.execute("SELECT count(DISTINCT space_id), count(*) FROM indexes").fetchone()
    assert spaces == (1, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"table": "nots"}, r"no table nots in this database .*: public\.notes"),
        ({"table": "nowhere.notes"}, r"no table nowhere\.notes"),
        ({"id_column": "key"}, r"public\.notes has no column key; it has: id \(bigint\), content"),
        ({"text_column": "id"}, r"the column id of public\.notes is bigint; the texts"),
        ({"embedding_column": "content"}, r"is text; only pgvector's vector and halfvec can"),
        ({"metadata_columns": ("meta",)}, r"has no column meta"),
    ],
)
async def test_what_is_missing_is_named_with_what_exists(source, adopt, embed, changes, message):
    source.table(rows(embed(TEXTS)))
    with pytest.raises(SourceUnusable, match=message):
        await adopt(**changes)


async def test_a_table_without_vectors_is_refused(source, adopt):
    source.table([(1, "a boat", None)])
    with pytest.raises(errors.AdoptionRefused, match="no row with a text and a vector"):
        await adopt()


async def test_a_missing_database_is_named_without_its_password(adopt):
    url = "postgresql://someone:secret@127.0.0.1:1/nothing"
    with pytest.raises(SourceUnusable) as refused:
        await adopt(source=url)
    assert "someone:***@127.0.0.1" in str(refused.value)
    assert "secret" not in str(refused.value)
