"""The command line of the benchmarks."""

import json

import pytest

from benchmarks import __main__ as command
from benchmarks import configuration


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["memory"], "--data FOLDER or --wordnet FOLDER"),
        (["quality", "--data", "/nonexistent"], "/nonexistent/scifact has no corpus.jsonl"),
        (["embeddings", "--wordnet", "."], "--data FOLDER or --scifact FOLDER"),
        (["reembed", "--wordnet", "."], "--data FOLDER or --scifact FOLDER"),
        (["speed"], "unknown part 'speed'; the parts are quality, ingest, memory, search"),
    ],
)
def test_missing_data_is_reported_before_a_service_starts(arguments, message, capsys, tmp_path):
    assert command.main([*arguments, "--work", str(tmp_path)]) == 1
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_sizes_and_settings_come_from_the_arguments(tmp_path):
    arguments = ["--data", str(tmp_path), "--full", "--torch-size", "7", "--set", "POOL_SIZE=4"]
    config = command._configuration(command._parser().parse_args(arguments), tmp_path)
    assert (config.sizes.ingest, config.sizes.torch) == (0, 7)
    assert config.settings == {"POOL_SIZE": "4"}
    assert config.wordnet_folder == tmp_path / "wordnet"


def test_fire_settings_come_from_the_arguments(tmp_path):
    arguments = ["fire", "--fire-documents", "9", "--fire-seed", "3"]
    direction = ["--fire-models", "wordllama", "bundled"]
    config = command._configuration(
        command._parser().parse_args([*arguments, *direction]), tmp_path
    )
    assert config.fire == configuration.FireSettings(9, 300, 3, "wordllama", "bundled")
    # It needs no corpus.
    config.check(["fire"])


def test_an_environment_without_infinity_is_refused_with_advice(capsys, tmp_path):
    folder = tmp_path / "scifact"
    folder.mkdir()
    (folder / "corpus.jsonl").touch()
    arguments = ["embeddings", "--scifact", str(folder), "--infinity", str(tmp_path / "env")]
    assert command.main([*arguments, "--work", str(tmp_path / "work")]) == 1
    message = capsys.readouterr().err
    assert f"{tmp_path / 'env' / 'bin' / 'infinity_emb'} doesn't exist" in message
    assert "pip install" in message


def test_wordnet_is_sampled_to_its_size(tmp_path):
    folder = tmp_path / "wordnet"
    folder.mkdir()
    lines = [json.dumps({"_id": str(no), "title": "t", "text": "x"}) for no in range(9)]
    (folder / "corpus.jsonl").write_text("\n".join(lines))
    arguments = ["--data", str(tmp_path), "--wordnet-size", "4"]
    config = command._configuration(command._parser().parse_args(arguments), tmp_path)
    assert len(config.wordnet) == 4
