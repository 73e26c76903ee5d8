from collections.abc import Iterator
from pathlib import Path

import pytest

from embedding import loading, model
from embedding.model_files import description
from tests import models
from tests.integration.embedding import reference

PROMPT = "passage: "


@pytest.fixture(scope="session")
def cache_dir(model_cache: Path) -> Path:
    """Converted models, shared by all tests that don't damage them."""
    return model_cache


@pytest.fixture(scope="session")
def wordllama_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.wordllama_directory(tmp_path_factory.mktemp("wordllama"))


@pytest.fixture(scope="session")
def prompted_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MiniLM with a prompt for documents that pooling leaves out."""
    return models.variant(
        tmp_path_factory.mktemp("prompted"),
        configs={
            "config_sentence_transformers.json": {
                "prompts": {"query": "query: ", "document": PROMPT}
            },
            "1_Pooling/config.json": {"include_prompt": False},
        },
    )


@pytest.fixture(scope="session")
def minilm(cache_dir: Path) -> Iterator[model.LoadedModel]:
    yield from _loaded("minilm", models.minilm_directory(), cache_dir)


@pytest.fixture(scope="session")
def wordllama(cache_dir: Path, wordllama_directory: Path) -> Iterator[model.LoadedModel]:
    yield from _loaded("wordllama", wordllama_directory, cache_dir)


@pytest.fixture(scope="session")
def prompted(cache_dir: Path, prompted_directory: Path) -> Iterator[model.LoadedModel]:
    yield from _loaded("prompted", prompted_directory, cache_dir)


@pytest.fixture(scope="session")
def vectors(
    cache_dir: Path, wordllama_directory: Path, prompted_directory: Path
) -> reference.Vectors:
    """By "NAME reference" and "NAME torch": reference.TEXTS by the library and by our encoder."""
    cases = (
        reference.Case("minilm", models.minilm_directory()),
        reference.Case("wordllama", wordllama_directory),
        reference.Case("prompted", prompted_directory, PROMPT),
    )
    library = reference.of_library(cases, cache_dir)
    ours = reference.of_our_encoder(cases)
    return {f"{name} reference": vectors for name, vectors in library.items()} | {
        f"{name} torch": vectors for name, vectors in ours.items()
    }


def _loaded(name: str, directory: Path, cache_dir: Path) -> Iterator[model.LoadedModel]:
    loaded = loading.load(description.describe(name, directory), cache_dir=cache_dir, device="cpu")
    yield loaded
    loaded.close()
