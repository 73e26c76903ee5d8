import hashlib
from pathlib import Path
from typing import Any

import pytest

from embedding.model_files import description, prompts
from tests import models

CONFIG = "config_sentence_transformers.json"
BGE = "Represent this sentence for searching relevant passages: "


def describe(directory: Path, **options: Any) -> description.ModelDescription:
    return description.describe("m", directory, options=description.ModelOptions(**options))


def texts(directory: Path, **options: Any) -> tuple[str, str]:
    model = describe(directory, **options)
    assert model.space.document_prompt == model.document_prompt.text
    return model.query_prompt.text, model.document_prompt.text


def configured(folder: Path, **content: Any) -> Path:
    return models.variant(folder, configs={CONFIG: content})


def with_readme(folder: Path, readme: str) -> Path:
    directory = models.variant(folder, remove=("README.md",))
    (directory / "README.md").write_text(readme)
    return directory


def test_a_model_without_prompts_has_none() -> None:
    model = describe(models.minilm_directory())
    assert model.query_prompt == prompts.Prompt("", "none")
    assert model.document_prompt == prompts.Prompt("", "none")


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({"query": "q: ", "document": "d: "}, ("q: ", "d: ")),
        ({"query": "q: ", "passage": "p: "}, ("q: ", "p: ")),
        ({"query": "q: ", "corpus": "c: "}, ("q: ", "c: ")),
        ({"corpus": "c: ", "passage": "p: ", "document": "d: "}, ("", "d: ")),
        ({"query": "q: ", "document": "", "passage": "p: "}, ("q: ", "p: ")),
        ({"query": "q: ", "document": None}, ("q: ", "")),
        ({"web_search_query": "w: "}, ("", "")),
        ({}, ("", "")),
    ],
)
def test_the_models_own_configuration_is_read(
    tmp_path: Path, own: dict[str, str], expected: tuple[str, str]
) -> None:
    directory = configured(tmp_path / "m", prompts=own, default_prompt_name=None)
    assert texts(directory) == expected
    if any(expected):
        assert describe(directory).query_prompt.source.endswith(CONFIG)


def test_settings_come_first_and_empty_means_none(tmp_path: Path) -> None:
    directory = configured(tmp_path / "m", prompts={"query": "q: ", "document": "d: "})
    assert texts(directory, query_prompt="Q ", document_prompt="") == ("Q ", "")
    assert texts(directory, document_prompt="D ") == ("q: ", "D ")
    assert describe(directory, query_prompt="Q ").query_prompt.source == "setting"


def test_a_prompts_name_is_replaced_by_its_text_before_hashing(tmp_path: Path) -> None:
    own = {"query": "q: ", "document": "d: ", "clustering": "cluster: "}
    directory = configured(tmp_path / "m", prompts=own)
    named = describe(directory, query_prompt="query", document_prompt="clustering")
    assert (named.query_prompt.text, named.document_prompt.text) == ("q: ", "cluster: ")
    assert "clustering" in named.document_prompt.source
    assert named.warnings == ()
    assert named.space == describe(directory, document_prompt="cluster: ").space


def test_an_unknown_prompt_name_warns(tmp_path: Path) -> None:
    directory = configured(tmp_path / "m", prompts={"query": "q: "})
    model = describe(directory, document_prompt="passage")
    assert model.document_prompt.text == "passage"
    assert any("'passage'" in text and "query" in text for text in model.warnings)
    assert describe(directory, document_prompt="passage: ").warnings == ()


def test_known_weights_are_recognised_in_a_folder_with_any_name(tmp_path: Path) -> None:
    """The folder's name and the model card don't count; the bytes of the weights do."""
    directory = models.variant(tmp_path / "model_files", remove=("README.md",))
    file = directory / "model.safetensors"
    with file.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    e5 = prompts.Published("intfloat/e5-tiny", file.stat().st_size, "query: ", "passage: ")
    table = {digest: e5}
    model = prompts.resolve(directory, directory, query=None, document=None, published=table)
    source = "known weights (intfloat/e5-tiny)"
    assert model.query == prompts.Prompt("query: ", source)
    assert model.document == prompts.Prompt("passage: ", source)
    assert model.warnings == ()
    other = {"0" * 64: e5}
    unknown = prompts.resolve(directory, directory, query=None, document=None, published=other)
    assert unknown.query.text == ""


def test_prompt_names_of_known_weights_can_be_used(tmp_path: Path) -> None:
    directory = with_readme(tmp_path / "model_files", "# e5-base-v2\n")
    model = describe(directory, query_prompt="passage", document_prompt="query")
    assert (model.query_prompt.text, model.document_prompt.text) == ("passage: ", "query: ")


def test_the_models_configuration_takes_precedence_over_known_weights(tmp_path: Path) -> None:
    directory = configured(tmp_path / "m", prompts={"query": "q: "})
    size = (directory / "model.safetensors").stat().st_size
    known = {"0" * 64: prompts.Published("x/y", size, "query: ")}
    model = prompts.resolve(directory, directory, query=None, document=None, published=known)
    assert model.query.text == "q: "


def test_published_digests_are_complete() -> None:
    for digest, known in prompts.PUBLISHED.items():
        assert len(bytes.fromhex(digest)) == 32
        assert known.size > 90_000_000
        assert known.query
        name = known.model_id.partition("/")[2].lower()
        family = next(entry for entry in prompts.FAMILIES if entry.pattern.fullmatch(name))
        assert (family.query, family.document) == (known.query, known.document)


E5 = ("query: ", "passage: ")


@pytest.mark.parametrize(
    ("readme", "expected"),
    [
        ("---\ntags:\n- mteb\nmodel-index:\n- name: e5-base-v2\n  results: []\n---\n\ntext\n", E5),
        ("---\nmodel-index:\n- name: multilingual-e5-small\n---\n", E5),
        ("---\nlicense: mit\n---\n\n# E5-large\n\nText Embeddings\n", E5),
        ("## Multilingual-E5-base\n", E5),
        ("---\nbase_model: intfloat/e5-small-v2\n---\n# SentenceTransformer\n", E5),
        ("---\nbase_model:\n- intfloat/multilingual-e5-large\n---\n", E5),
        ("---\nmodel-index:\n- name: bge-base-en-v1.5\n---\n", (BGE, "")),
        ("---\nmodel-index:\n- name: mxbai-embed-large-v1\n---\n", (BGE, "")),
        ("---\nmodel-index:\n- name: snowflake-arctic-embed-m\n---\n", (BGE, "")),
        ("---\nmodel-index:\n- name: snowflake-arctic-embed-l-v2.0\n---\n", ("query: ", "")),
        (
            "---\nmodel-index:\n- name: nomic-embed-text-v1.5\n---\n",
            ("search_query: ", "search_document: "),
        ),
        ("# bge-m3\n", ("", "")),
        ("# gte-base-en-v1.5\n", ("", "")),
        ("# all-MiniLM-L6-v2\n\nBetter than intfloat/e5-base-v2.\n", ("", "")),
        ("", ("", "")),
    ],
)
def test_families_are_recognised_by_their_model_card(
    tmp_path: Path, readme: str, expected: tuple[str, str]
) -> None:
    directory = with_readme(tmp_path / "model_files", readme)
    model = describe(directory)
    assert (model.query_prompt.text, model.document_prompt.text) == expected
    assert bool(model.warnings) == any(expected)
    if any(expected):
        assert "README.md" in model.query_prompt.source


def test_instruct_models_differ_from_their_family(tmp_path: Path) -> None:
    directory = with_readme(tmp_path / "m", "# multilingual-e5-large-instruct\n")
    query, document = texts(directory)
    assert query.startswith("Instruct: ")
    assert query.endswith("\nQuery: ")
    assert document == ""


def test_a_family_is_recognised_by_the_configurations_name(tmp_path: Path) -> None:
    name = {"config.json": {"_name_or_path": "intfloat/multilingual-e5-base"}}
    model = describe(models.variant(tmp_path / "m", configs=name))
    assert model.document_prompt.text == "passage: "
    assert "config.json" in model.document_prompt.source


def test_empty_prompts_written_by_the_library_are_ignored(tmp_path: Path) -> None:
    directory = with_readme(tmp_path / "m", "# e5-base-v2\n")
    models.write_json(directory / CONFIG, {"prompts": {"query": "", "document": ""}})
    assert texts(directory) == E5


def test_the_users_name_for_a_model_changes_nothing() -> None:
    model = description.describe("intfloat/e5-base-v2", models.minilm_directory())
    assert model.document_prompt.text == ""


@pytest.mark.parametrize("own", [["query: "], {"query": 3}, "query: "])
def test_broken_prompts_are_an_error(tmp_path: Path, own: object) -> None:
    with pytest.raises(Exception, match=CONFIG):
        describe(configured(tmp_path / "m", prompts=own))
