"""Two spaces with equal dimensions: the same weights with another document prompt."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api.service import Service
from tests import models
from tests.integration.conftest import Open

OTHER = "prompted"


@pytest.fixture(scope="session")
def roots(static_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model root in which requests name the other model."""
    folder = tmp_path_factory.mktemp("roots")
    prompts = {"query": "", "document": "the text is about: "}
    models.variant(
        folder / OTHER,
        source=static_model,
        configs={"config_sentence_transformers.json": {"prompts": prompts}},
    )
    return folder


@pytest.fixture
async def service(opened: Open, roots: Path) -> AsyncIterator[Service]:
    """A service that runs migrations itself."""
    async with opened(model_roots=[str(roots)]) as service:
        yield service


@pytest.fixture
async def idle(opened: Open, roots: Path) -> AsyncIterator[Service]:
    """A service without a worker: the test does the work step by step."""
    async with opened(model_roots=[str(roots)], worker=False) as service:
        yield service
