import json
import os
from pathlib import Path

import pytest

from embedding import errors
from embedding.model_files import description
from embedding.registry import sources
from tests import models

COMMIT = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
OTHER = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    return tmp_path / "data" / "models"


def downloaded(models_dir: Path, commit: str, asked: str | None = None, **config: int) -> Path:
    folder = models_dir / sources.hub_folder("org/name", commit)
    changed = {"sentence_bert_config.json": config} if config else {}
    models.variant(folder, configs=changed)
    record = {"id": "org/name", "revision": commit, "asked": asked}
    (folder / sources.RECORD).write_text(json.dumps(record))
    return folder


@pytest.mark.parametrize(
    "name", ["bundled", "all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"]
)
def test_the_bundled_model_has_three_names(name: str, root: Path, models_dir: Path) -> None:
    source = sources.resolve(name, roots=[root], models_dir=models_dir)
    assert source.name == "sentence-transformers/all-MiniLM-L6-v2"
    assert source.directory == models.minilm_directory()


def test_a_path_is_taken_as_it_stands(
    tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = models.variant(tmp_path / "model_files")
    monkeypatch.chdir(tmp_path)
    for name in (str(directory), "./model_files", "../" + tmp_path.name + "/model_files"):
        source = sources.resolve(name, roots=[], models_dir=models_dir)
        assert source.directory.resolve() == directory
        assert source.directory.is_absolute()
    with pytest.raises(errors.ModelNotFound, match=r"no directory .*/absent"):
        sources.resolve("./absent", roots=[], models_dir=models_dir)


def test_a_bare_name_is_a_directory_under_a_root_only(
    tmp_path: Path, root: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.variant(root / "mine")
    models.variant(root / "org" / "theirs")
    models.variant(tmp_path / "outside")
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "org/theirs"):
        source = sources.resolve(name, roots=[root], models_dir=models_dir)
        assert source == sources.ModelSource(name, root / name)
    for name in ("outside", "mine/../../outside", "org/../../outside"):
        with pytest.raises(errors.ModelNotFound):
            sources.resolve(name, roots=[root], models_dir=models_dir)


def test_a_link_out_of_a_root_is_not_followed(tmp_path: Path, root: Path, models_dir: Path) -> None:
    models.variant(tmp_path / "outside")
    (root / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(errors.ModelNotFound):
        sources.resolve("link", roots=[root], models_dir=models_dir)


@pytest.mark.parametrize("name", ["", "  ", "a\0b", "no such model", "a/b/c", "../absent", "name"])
def test_a_name_of_no_model_is_called_unknown(name: str, root: Path, models_dir: Path) -> None:
    with pytest.raises(errors.ModelNotFound):
        sources.resolve(name, roots=[root], models_dir=models_dir)


def test_a_hub_id_that_is_absent_says_where_and_what_to_run(root: Path, models_dir: Path) -> None:
    with pytest.raises(errors.ModelNotFound) as caught:
        sources.resolve("org/name@main", roots=[root], models_dir=models_dir)
    assert str(root) in str(caught.value)
    assert str(models_dir) in str(caught.value)
    assert "`vecmark models add org/name@main`" in str(caught.value)


def test_a_downloaded_model_is_found_by_id_branch_and_commit(models_dir: Path) -> None:
    folder = downloaded(models_dir, COMMIT, "main")
    for revision in ("", "@main", f"@{COMMIT}", f"@{COMMIT[:8]}"):
        source = sources.resolve(f"org/name{revision}", roots=[], models_dir=models_dir)
        assert (source.directory, source.revision) == (folder, COMMIT)
    for revision in ("@v2", "@c9", f"@{OTHER}"):
        with pytest.raises(errors.ModelNotFound):
            sources.resolve(f"org/name{revision}", roots=[], models_dir=models_dir)


def test_a_model_with_two_revisions_must_be_named_with_one(models_dir: Path) -> None:
    downloaded(models_dir, COMMIT, "main")
    folder = downloaded(models_dir, OTHER)
    with pytest.raises(errors.ModelNotFound, match=f"{OTHER}, {COMMIT}"):
        sources.resolve("org/name", roots=[], models_dir=models_dir)
    source = sources.resolve(f"org/name@{OTHER}", roots=[], models_dir=models_dir)
    assert source.directory == folder


def test_half_a_download_is_not_a_model(models_dir: Path) -> None:
    folder = downloaded(models_dir, COMMIT)
    for content in ("", "{", "[]", '{"id": "org/name"}', '{"id": "org/name", "revision": "main"}'):
        (folder / sources.RECORD).write_text(content)
        with pytest.raises(errors.ModelNotFound):
            sources.resolve("org/name", roots=[], models_dir=models_dir)


def test_every_directory_that_could_hold_a_model_is_a_candidate_once(
    tmp_path: Path, root: Path, models_dir: Path
) -> None:
    default = sources.ModelSource("./mine", models.variant(root / "mine"))
    expected = [default.directory, models.minilm_directory()]
    expected.append(models.variant(root / "org" / "theirs"))
    expected.append(downloaded(models_dir, COMMIT))
    (root / "empty").mkdir()
    models.variant(root / ".hidden")
    models.variant(models_dir / ".download-x1")
    found = list(sources.candidates([root, root], models_dir, default))
    assert [source.directory for source in found] == expected
    assert found[0].name == "./mine"
    assert found[-1].revision == COMMIT


def test_the_files_of_a_space_are_found_wherever_they_are(root: Path, models_dir: Path) -> None:
    folder = downloaded(models_dir, COMMIT, max_seq_length=99)
    wanted = description.describe("x", folder).space
    model = sources.find_space(wanted.fingerprint, roots=[root], models_dir=models_dir)
    assert model.directory == folder
    assert model.revision == COMMIT
    moved = root / "moved"
    folder.rename(moved)
    model = sources.find_space(wanted.fingerprint, roots=[root], models_dir=models_dir)
    assert model.directory == moved


def test_a_broken_neighbour_hides_no_model(root: Path, models_dir: Path) -> None:
    broken = models.variant(root / "broken", remove=("model.safetensors",))
    wanted = description.describe("x", models.minilm_directory()).space
    default = sources.ModelSource("broken", broken)
    found = sources.find_space(
        wanted.fingerprint, roots=[root], models_dir=models_dir, default=default
    )
    assert found.directory == models.minilm_directory()


def test_a_space_without_files_names_the_searched_directories(root: Path, models_dir: Path) -> None:
    with pytest.raises(errors.ModelNotFound, match=r"fp1:00.*root.*models"):
        sources.find_space("fp1:00", roots=[root], models_dir=models_dir)


def test_options_of_the_space_lead_to_its_files(root: Path, models_dir: Path) -> None:
    options = description.ModelOptions(max_tokens=64, document_prompt="d: ")
    wanted = description.describe("x", models.minilm_directory(), options=options).space
    with pytest.raises(errors.ModelNotFound):
        sources.find_space(wanted.fingerprint, roots=[root], models_dir=models_dir)
    model = sources.find_space(
        wanted.fingerprint, description.options_of(wanted), roots=[root], models_dir=models_dir
    )
    assert model.space == wanted


def test_files_replaced_at_a_path_make_another_space(tmp_path: Path) -> None:
    directory = models.variant(tmp_path / "model_files")
    source = sources.ModelSource("./model_files", directory)
    kept = sources.Descriptions()
    before = kept.get(source)
    assert kept.get(source) is before
    models.write_json(directory / "sentence_bert_config.json", {"max_seq_length": 99})
    assert kept.get(source).space.max_tokens == 99

    tensors = models.load_tensors(directory)
    tensors["embeddings.LayerNorm.bias"] = tensors["embeddings.LayerNorm.bias"] + 1
    state = (directory / "model.safetensors").stat()
    models.save_tensors(directory, tensors)
    os.utime(directory / "model.safetensors", ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert kept.get(source).space.fingerprint != before.space.fingerprint
