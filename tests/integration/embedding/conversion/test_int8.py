"""A model that is quantised, loaded and compared, through the processes that do it."""

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from embedding import errors, loading
from embedding.canaries import texts
from embedding.conversion import comparison, convert
from embedding.model_files import description, int8_graph
from embedding.registry import added as registry_added
from embedding.registry import sources
from tests import models, tiny

TEXTS = texts.NATURAL[:12]
REPORTS_NOTHING = "import embedding.conversion.quantization, nncf, openvino; nncf.Dataset([])"


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data") / "models"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.directory(tmp_path_factory.mktemp("tiny") / "whole")


def add_request(
    directory: Path, name: str, texts: tuple[str, ...] | None = TEXTS
) -> registry_added.AddModel:
    options = description.ModelOptions(precision="int8", max_tokens=64)
    return registry_added.AddModel(
        source=str(directory), name=name, options=options, calibration=texts
    )


@pytest.fixture(scope="module")
def added(whole: Path, models_dir: Path) -> description.ModelDescription:
    return registry_added.add(add_request(whole, "tiny8"), models_dir).model


async def test_the_int8_encoder_serves_with_its_own_vectors_as_reference(added, tmp_path):
    loaded = loading.load(added, cache_dir=tmp_path / "cache", device="auto")
    try:
        assert (loaded.build["backend"], loaded.dtype, loaded.build["device"]) == (
            "openvino", "int8", "cpu",
        )  # fmt: skip
        report = await loaded.check_canaries()
        assert report.level == "quiet", report.describe()
        encoded = await loaded.encode_texts(["a boat", "boats in the harbour"])
        assert np.allclose(np.linalg.norm(encoded.vectors, axis=1), 1, atol=1e-5)
        assert encoded.fingerprint == added.space.fingerprint
    finally:
        loaded.close()
    assert not (tmp_path / "cache").exists(), "the graph is part of the model, not of the cache"


def test_its_distance_to_fp32_is_recorded(added):
    assert added.int8 is not None
    assert 0 < added.int8.worst_edge <= added.int8.mean < 1
    assert added.int8.texts == len(TEXTS)
    assert added.int8.versions["nncf"]
    assert added.space.max_tokens == 64


def test_a_copy_elsewhere_is_the_same_space_and_brings_its_graph(added, models_dir, tmp_path):
    copied = shutil.copytree(added.directory, tmp_path / "other machine" / "tiny8")
    there = registry_added.add(add_request(copied, "mine", None), tmp_path / "models").model
    assert there.space == added.space
    assert not registry_added.add(add_request(copied, "tiny8", None), models_dir).new
    assert not registry_added.add(add_request(copied, "tiny8", TEXTS), models_dir).new
    with pytest.raises(errors.ModelRefused, match="tiny8 already exists"):
        registry_added.add(add_request(copied, "tiny8", TEXTS[:5]), models_dir)


async def test_another_result_on_this_cpu_is_noticed(added, tmp_path):
    """The reference is what the int8 encoder gave where it was made, not what this one gives."""
    copied = shutil.copytree(added.directory, tmp_path / "tiny8")
    folder = copied / int8_graph.FOLDER
    vectors = -np.load(folder / int8_graph.REFERENCE)
    np.save(folder / int8_graph.REFERENCE, vectors)
    source = sources.ModelSource("x", copied, options=added.options)
    with pytest.raises(errors.ModelInvalid, match=r"reference\.npy"):
        sources.descriptions.get(source)
    int8_graph.write(folder, dataclasses.asdict(added.int8))
    model = sources.descriptions.get(source)
    assert model.space == added.space
    loaded = loading.load(model, cache_dir=tmp_path / "cache")
    report = await loaded.check_canaries()
    loaded.close()
    assert report.level == "refuse"


def test_every_backend_is_compared_with_torch_and_int8_with_itself(added):
    found = {f"{one.backend} {one.dtype}": one for one in comparison.compare(added, device="cpu")}
    assert {"torch f32", "openvino f32", "openvino int8"} <= set(found)
    for name, one in found.items():
        assert not one.failure, one
        assert one.rate > 0
        assert (one.against == "torch fp32") is (name != "openvino int8")
    assert found["torch f32"].worst_edge > 0.999999
    assert found["openvino f32"].level == "quiet"
    assert found["openvino int8"].level == "quiet"


def test_weights_that_transformers_would_make_up_are_refused(tmp_path):
    """A tensor that only the library knows of: where the weights are loaded it is missed."""
    directory = tiny.directory(tmp_path / "lacking")
    tensors = tiny.tensors()
    del tensors["embeddings.token_type_embeddings.weight"]
    models.save_tensors(directory, tensors)
    model = description.describe("lacking", directory)
    with pytest.raises(errors.ModelInvalid, match="token_type_embeddings"):
        loading.load(model, cache_dir=tmp_path / "cache", device="cpu")


def test_nothing_is_reported_to_the_makers_of_the_libraries(tmp_path):
    """Their telemetry keeps an id of its user in the home directory, where it may report."""
    subprocess.run(
        [sys.executable, "-c", REPORTS_NOTHING],
        cwd=Path(convert.__file__).parents[2],
        env={**os.environ, "HOME": str(tmp_path)},
        check=True,
        timeout=120,
    )
    assert not list(tmp_path.glob("intel*"))
