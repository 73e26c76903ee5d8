import json

import pytest

from benchmarks import __main__ as command
from benchmarks import plan


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["memory"], "--data FOLDER or --wordnet FOLDER"),
        (["quality", "--data", "/nonexistent"], "/nonexistent/scifact holds no corpus.jsonl"),
        (["embeddings", "--wordnet", "."], "--data FOLDER or --scifact FOLDER"),
        (["reembed", "--wordnet", "."], "--data FOLDER or --scifact FOLDER"),
        (["speed"], "no part 'speed'; there are quality, ingest, memory, search"),
    ],
)
def test_what_cannot_be_measured_is_said_before_a_service_starts(arguments, said, capsys, tmp_path):
    assert command.main([*arguments, "--work", str(tmp_path)]) == 1
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_sizes_and_settings_come_from_the_arguments(tmp_path):
    arguments = ["--data", str(tmp_path), "--full", "--torch-size", "7", "--set", "POOL_SIZE=4"]
    what = command._plan(command._parser().parse_args(arguments), tmp_path)
    assert (what.sizes.ingest, what.sizes.torch) == (0, 7)
    assert what.settings == {"POOL_SIZE": "4"}
    assert what.wordnet_folder == tmp_path / "wordnet"


def test_the_fire_is_as_it_is_asked_for(tmp_path):
    arguments = ["fire", "--fire-documents", "9", "--fire-seed", "3"]
    direction = ["--fire-models", "wordllama", "bundled"]
    what = command._plan(command._parser().parse_args([*arguments, *direction]), tmp_path)
    assert what.fire == plan.Fire(9, 300, 3, "wordllama", "bundled")
    # Neither folder of data is needed.
    what.check(["fire"])


def test_an_environment_without_infinity_is_refused_with_how_to_make_one(capsys, tmp_path):
    folder = tmp_path / "scifact"
    folder.mkdir()
    (folder / "corpus.jsonl").touch()
    arguments = ["embeddings", "--scifact", str(folder), "--infinity", str(tmp_path / "env")]
    assert command.main([*arguments, "--work", str(tmp_path / "work")]) == 1
    said = capsys.readouterr().err
    assert f"there is no {tmp_path / 'env' / 'bin' / 'infinity_emb'}" in said
    assert "pip install" in said


def test_wordnet_is_sampled_to_its_size(tmp_path):
    folder = tmp_path / "wordnet"
    folder.mkdir()
    lines = [json.dumps({"_id": str(no), "title": "t", "text": "x"}) for no in range(9)]
    (folder / "corpus.jsonl").write_text("\n".join(lines))
    arguments = ["--data", str(tmp_path), "--wordnet-size", "4"]
    what = command._plan(command._parser().parse_args(arguments), tmp_path)
    assert len(what.wordnet) == 4
