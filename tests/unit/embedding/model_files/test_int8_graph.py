import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from embedding import errors
from embedding.canaries import check
from embedding.model_files import description, int8_graph
from embedding.registry import sources
from tests import tiny

INT8 = description.ModelOptions(precision="int8")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.directory(tmp_path_factory.mktemp("tiny") / "whole")


@pytest.fixture
def directory(whole: Path, tmp_path: Path) -> Path:
    directory = shutil.copytree(whole, tmp_path / "mine")
    write(directory)
    return directory


def write(
    directory: Path, *, weights: bytes = b"int8 weights", max_tokens: int | None = None
) -> None:
    """A graph's files as a quantisation leaves them; what is in them doesn't matter here."""
    folder = directory / int8_graph.FOLDER
    folder.mkdir(exist_ok=True)
    (folder / int8_graph.GRAPH).write_text("<net/>")
    (folder / int8_graph.WEIGHTS).write_bytes(weights)
    vectors = np.ones((len(check.TEXTS), tiny.HIDDEN), np.float32)
    np.save(folder / int8_graph.REFERENCE, vectors)
    float_ = description.describe(
        "x", directory, options=description.ModelOptions(max_tokens=max_tokens)
    )
    made = {
        "of": float_.space.fingerprint,
        "calibration": "00",
        "texts": 300,
        "preset": "MIXED",
        "worst_natural": 0.98,
        "worst_edge": 0.8,
        "mean": 0.99,
        "versions": {},
    }
    int8_graph.write(folder, made)


def test_int8_is_a_space_of_its_own_known_by_its_graph(directory: Path, tmp_path: Path) -> None:
    in_float = description.describe("x", directory)
    model = description.describe("x", directory, options=INT8)
    assert model.space.precision == "int8"
    assert model.space.fingerprint != in_float.space.fingerprint
    assert model.int8 is not None
    assert "0.9900 on average" in model.int8.describe()
    assert in_float.int8 is None

    copied = shutil.copytree(directory, tmp_path / "elsewhere")
    assert description.describe("y", copied, options=INT8).space == model.space
    write(copied, weights=b"calibrated with other texts")
    assert description.describe("y", copied, options=INT8).space != model.space


def test_a_model_without_a_graph_says_how_to_make_one(whole: Path) -> None:
    with pytest.raises(errors.ModelInvalid, match=r"missing: run `vecmark models add .* int8"):
        description.describe("x", whole, options=INT8)


def test_a_graph_of_other_weights_or_options_is_refused(directory: Path) -> None:
    options = description.ModelOptions(precision="int8", max_tokens=64)
    with pytest.raises(errors.ModelInvalid, match="other options"):
        description.describe("x", directory, options=options)
    write(directory, max_tokens=64)
    assert description.describe("x", directory, options=options).space.max_tokens == 64


@pytest.mark.parametrize("name", [*int8_graph.FILES, int8_graph.RECORD])
@pytest.mark.parametrize(
    "content", [b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", b"other"]
)
def test_a_damaged_file_of_the_graph_is_named(directory: Path, name: str, content: bytes) -> None:
    (directory / int8_graph.FOLDER / name).write_bytes(content)
    with pytest.raises(errors.ModelInvalid) as caught:
        description.describe("x", directory, options=INT8)
    assert caught.value.file == directory / int8_graph.FOLDER / name
    assert description.describe("x", directory).space.precision == "float"


@pytest.mark.parametrize("change", [{"mean": "high"}, {"files": {}}, {"of": None}, {"new": 1}])
def test_a_record_of_another_shape_is_refused_unless_it_only_says_more(
    directory: Path, change: dict[str, object]
) -> None:
    file = directory / int8_graph.FOLDER / int8_graph.RECORD
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    if "new" in change:
        assert description.describe("x", directory, options=INT8).int8 is not None
        return
    with pytest.raises(errors.ModelInvalid, match="not a record of a quantisation"):
        description.describe("x", directory, options=INT8)


def test_a_graph_that_changes_is_noticed(directory: Path) -> None:
    kept = sources.Descriptions()
    source = sources.ModelSource("x", directory, options=INT8)
    before = kept.get(source)
    assert kept.get(source) is before
    write(directory, weights=b"of another length")
    assert kept.get(source).space != before.space


def test_the_files_of_an_int8_space_are_found(directory: Path, tmp_path: Path) -> None:
    wanted = description.describe("x", directory, options=INT8).space
    options = description.options_of(wanted)
    model = sources.find_space(
        wanted.fingerprint, options, roots=[tmp_path], models_dir=tmp_path / "none"
    )
    assert model.directory == directory
    assert model.space == wanted
