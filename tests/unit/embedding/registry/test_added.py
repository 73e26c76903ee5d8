import json
import shutil
from pathlib import Path

import pytest

from embedding import errors
from embedding.model_files import description
from embedding.registry import added, hub, sources
from tests import models, tiny

COMMIT = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.directory(tmp_path_factory.mktemp("tiny") / "whole")


@pytest.fixture
def directory(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "mine")


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    return tmp_path / "data" / "models"


def add(
    models_dir: Path, source: str | Path, name: str | None = None, **options: int | str
) -> added.Added:
    given = description.ModelOptions(**options)  # type: ignore[arg-type]
    return added.add(added.AddModel(source=str(source), name=name, options=given), models_dir)


def resolve(models_dir: Path, name: str, *roots: Path) -> sources.ModelSource:
    return sources.resolve(name, roots=roots, models_dir=models_dir)


def test_a_directory_is_copied_so_that_nothing_that_happens_to_it_counts(
    directory: Path, models_dir: Path
) -> None:
    (directory / "pytorch_model.bin").write_bytes(b"not read")
    (directory / "custom.py").write_text("raise SystemExit")
    added = add(models_dir, directory)
    assert added.new
    shutil.rmtree(directory)
    source = resolve(models_dir, "mine")
    assert source.directory == models_dir / "mine"
    assert description.describe("x", source.directory).space == added.model.space
    names = {file.name for file in source.directory.rglob("*")}
    assert not names & {"pytorch_model.bin", "custom.py"}
    assert [file.name for file in models_dir.iterdir()] == ["mine"]


def test_options_stay_with_the_name(directory: Path, models_dir: Path) -> None:
    added = add(
        models_dir, directory, "short", max_tokens=64, query_prompt="q: ", dimensions=16
    ).model
    source = resolve(models_dir, "short")
    assert source.options == description.ModelOptions(
        max_tokens=64, query_prompt="q: ", dimensions=16
    )
    assert sources.descriptions.get(source).space == added.space
    assert (added.space.max_tokens, added.space.dimensions) == (64, 16)
    assert added.query_prompt.text == "q: "
    # What is set beside it comes first; the rest stays.
    own = description.ModelOptions(query_prompt="").with_defaults(source.options)
    found = sources.descriptions.get(source, own)
    assert (found.query_prompt.text, found.space) == ("", added.space)


def test_the_same_again_changes_nothing_and_anything_else_is_refused(
    directory: Path, models_dir: Path
) -> None:
    add(models_dir, directory, "one", max_tokens=64)
    before = (models_dir / "one" / "model.safetensors").stat()
    again = add(models_dir, directory, "one", max_tokens=64)
    assert not again.new
    assert (models_dir / "one" / "model.safetensors").stat() == before
    for options in ({}, {"max_tokens": 65}, {"max_tokens": 64, "query_prompt": "q"}):
        with pytest.raises(errors.ModelRefused, match="one already exists"):
            add(models_dir, directory, "one", **options)
    models.write_json(directory / "sentence_bert_config.json", {"max_seq_length": 99})
    add(models_dir, directory, "one", max_tokens=64)  # the option hides what changed
    changed = tiny.tensors()
    changed["embeddings.LayerNorm.bias"] += 1
    models.save_tensors(directory, changed)
    with pytest.raises(errors.ModelRefused, match="remove it first"):
        add(models_dir, directory, "one", max_tokens=64)
    assert [file.name for file in models_dir.iterdir()] == ["one"]


@pytest.mark.parametrize(
    "name",
    ["", "a/b", "../a", "a:query", ".hidden", "-a", "a b", "x@y", "ä", "a" * 64, "a\0", "bundled",
     "Bundled", "ALL-minilm-l6-V2"],
)  # fmt: skip
def test_names_that_could_mean_something_else_are_refused(
    directory: Path, models_dir: Path, name: str
) -> None:
    with pytest.raises(errors.ModelRefused):
        added.check_name(name)
    if name:
        with pytest.raises(errors.ModelRefused):
            add(models_dir, directory, name)
        assert not models_dir.exists()


def test_the_bundled_model_gets_a_name_if_it_gets_options(models_dir: Path) -> None:
    with pytest.raises(errors.ModelRefused, match="--name"):
        add(models_dir, "bundled", max_tokens=64)
    added = add(models_dir, "bundled", "short", max_tokens=64).model
    assert added.space.max_tokens == 64
    assert resolve(models_dir, "bundled").options is None


def test_a_name_comes_before_a_folder_of_a_root(
    directory: Path, models_dir: Path, tmp_path: Path
) -> None:
    assert resolve(models_dir, "mine", tmp_path).directory == directory
    add(models_dir, directory)
    assert resolve(models_dir, "mine", tmp_path).directory == models_dir / "mine"


def test_a_hub_model_that_is_there_is_registered_with_options_offline(
    whole: Path, models_dir: Path
) -> None:
    part = shutil.copytree(whole, models_dir / ".part")
    target = models_dir / sources.hub_folder("org/name", COMMIT)
    hub.publish(part, target, {"id": "org/name", "revision": COMMIT, "asked": "main"})
    added = add(models_dir, "org/name", max_tokens=64).model
    assert (added.name, added.revision, added.directory.name) == ("name", COMMIT, "name")
    with pytest.raises(errors.ModelRefused, match="--name"):
        add(models_dir, "org/name", max_tokens=32)
    assert add(models_dir, "org/name", "other", max_tokens=32).new
    assert resolve(models_dir, "org/name").options is None
    assert resolve(models_dir, "org/name").directory == target


def test_what_is_registered_is_found_by_its_space(
    directory: Path, models_dir: Path, tmp_path: Path
) -> None:
    space = add(models_dir, directory, "short", max_tokens=64).model.space
    for options in (None, description.options_of(space)):
        found = sources.find_space(space.fingerprint, options, roots=(), models_dir=models_dir)
        assert (found.name, found.directory) == ("short", models_dir / "short")
    with pytest.raises(errors.ModelNotFound):
        sources.find_space(
            space.fingerprint, roots=(), models_dir=models_dir, exclude=models_dir / "short"
        )


def test_a_removed_model_is_gone_at_once(directory: Path, models_dir: Path) -> None:
    add(models_dir, directory)
    added.remove(resolve(models_dir, "mine"))
    with pytest.raises(errors.ModelNotFound):
        resolve(models_dir, "mine")
    assert not list(models_dir.iterdir())
    assert add(models_dir, directory).new


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"name": "mine", "options": {"x": "y"}}'])
def test_a_damaged_record_is_named_and_hides_no_other_model(
    directory: Path, models_dir: Path, content: str
) -> None:
    add(models_dir, directory)
    other = add(models_dir, directory, "other", max_tokens=64).model
    file = models_dir / "mine" / sources.ADDED_RECORD
    file.write_text(content)
    with pytest.raises(errors.ModelInvalid, match=str(file)):
        resolve(models_dir, "mine")
    assert [source.name for source in sources.all_added(models_dir)] == ["other"]
    found = sources.find_space(other.space.fingerprint, roots=(), models_dir=models_dir)
    assert found.name == "other"


def test_a_refused_option_leaves_nothing(directory: Path, models_dir: Path) -> None:
    with pytest.raises(errors.LimitTooLong):
        add(models_dir, directory, max_tokens=1000)
    with pytest.raises(errors.DimensionsRefused):
        add(models_dir, directory, dimensions=33)
    assert not list(models_dir.iterdir())


def test_int8_needs_texts_or_a_graph_that_came_along(directory: Path, models_dir: Path) -> None:
    with pytest.raises(errors.ModelInvalid, match=r"int8/quantization\.json: missing"):
        add(models_dir, directory, precision="int8")
    static = models.wordllama_directory(directory.parent / "static")
    request = added.AddModel(
        source=str(static),
        name="static8",
        options=description.ModelOptions(precision="int8"),
        calibration=["a text"],
    )
    with pytest.raises(errors.ModelRefused, match="no layers to quantise"):
        added.add(request, models_dir)
    assert not list(models_dir.iterdir())


@pytest.mark.parametrize(
    ("readme", "config", "expected"),
    [
        ("Trained with MatryoshkaLoss.", {}, True),
        ("", {"matryoshka_dimensions": [8, 16]}, True),
        ("Nothing about it.", {}, False),
    ],
)
def test_a_model_says_if_fewer_dimensions_do(
    directory: Path, readme: str, config: dict[str, object], expected: bool
) -> None:
    (directory / "README.md").unlink()
    (directory / "README.md").write_text(readme)
    content = json.loads((directory / "config.json").read_text())
    models.write_json(directory / "config.json", content | config)
    options = description.ModelOptions(dimensions=16)
    model = description.describe("x", directory, options=options)
    assert model.matryoshka is expected
    assert any("Matryoshka" in warning for warning in model.warnings) is not expected


def test_a_folder_that_was_put_there_by_hand_stays(directory: Path, models_dir: Path) -> None:
    by_hand = models_dir / "org" / "model"
    shutil.copytree(directory, by_hand)
    with pytest.raises(errors.ModelRefused, match="--name"):
        add(models_dir, directory, "org")
    assert (by_hand / "model.safetensors").is_file()
    assert [file.name for file in models_dir.iterdir()] == ["org"]
