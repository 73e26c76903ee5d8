"""`vecmark models add`, `show`, `check`, `list` and `remove`, from a directory to a search."""

import re
import shutil
from pathlib import Path

import pytest

from tests import services, tiny

CALIBRATION = "\n".join(
    f"Sentence number {no} tells of boats, newts and weather in the {no}th harbour."
    for no in range(24)
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.directory(tmp_path_factory.mktemp("source") / "tiny")


@pytest.fixture(scope="module")
def data_dir(source: Path, tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Path:
    """A store with the model added twice: as it is, and in int8 calibrated with a file."""
    folder = tmp_path_factory.mktemp("home") / "data"
    folder.mkdir()
    (folder / "cache").symlink_to(model_cache)
    texts = folder.parent / "texts.txt"
    texts.write_text(CALIBRATION)
    for arguments in (
        ("--max-tokens", "64", "--query-prompt", "q: "),
        ("--name", "tiny8", "--precision", "int8", "--calibrate", str(texts)),
    ):
        done = services.run(folder, "models", "add", str(source), *arguments)
        assert done.returncode == 0, done.stderr
    return folder


def value(output: str, label: str) -> str:
    match = re.search(rf"^{label}: +(.*)$", output, re.MULTILINE)
    assert match, output
    return match[1]


def test_an_added_model_is_shown_with_all_its_options(data_dir):
    output = services.run(data_dir, "models", "show", "tiny").stdout
    assert value(output, "directory") == str(data_dir / "models" / "tiny")
    assert value(output, "limit") == "64 tokens"
    assert value(output, "query prompt") == "'q: ' (from: setting)"
    assert value(output, "precision") == "float"
    assert value(output, "dimensions") == "32"
    assert re.fullmatch(r"[45]\.\d MB", value(output, "disk"))
    output8 = services.run(data_dir, "models", "show", "tiny8").stdout
    assert value(output8, "precision") == "int8"
    assert re.match(r"cosine to torch fp32 0\.\d{4} on average", value(output8, "int8"))
    assert value(output8, "space") != value(output, "space")


def test_adding_the_same_again_succeeds_but_another_under_the_name_fails(data_dir, source):
    options = ("--max-tokens", "64", "--query-prompt", "q: ")
    again = services.run(data_dir, "models", "add", str(source), *options)
    assert again.returncode == 0
    assert "tiny is already in" in again.stdout
    other = services.run(data_dir, "models", "add", str(source))
    assert other.returncode == 1
    assert "vecmark models remove tiny" in other.stderr
    assert "--name" in other.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--calibrate", "TEXTS"), "--calibrate needs --precision int8"),
        (("--precision", "int8", "--calibrate", "/nowhere.txt"), "/nowhere.txt"),
        (("--precision", "int8", "--calibrate", "LINES"), "lines.jsonl:2: not JSON"),
        (("--precision", "int8", "--calibrate", "TABLE"), "must be a .txt or a .jsonl file"),
        (("--precision", "int8", "--calibrate", "EMPTY"), "empty.txt: contains no text"),
        (("--name", "a/b"), "can't be a model's name"),
        (("--name", "bundled"), "always means the bundled model"),
        (("--dimensions", "33"), "33 dimensions were requested"),
        (("--max-tokens", "600"), "600 tokens, but the model has 512 positions"),
        (("--precision", "int4"), "int4"),
    ],
)
def test_an_unsupported_option_is_named(data_dir, source, tmp_path, arguments, message):
    files = {
        "TEXTS": ("texts.txt", "a text\n"),
        "LINES": ("lines.jsonl", '{"text": "one"}\n{"text": \n'),
        "TABLE": ("table.csv", "text\none\n"),
        "EMPTY": ("empty.txt", "\n  \n"),
    }
    for name, content in files.values():
        (tmp_path / name).write_text(content)
    resolved = [
        str(tmp_path / files[argument][0]) if argument in files else argument
        for argument in arguments
    ]
    done = services.run(data_dir, "models", "add", str(source), *resolved)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(file.name for file in (data_dir / "models").iterdir()) == ["tiny", "tiny8"]


def test_a_damaged_directory_is_refused_naming_the_file(data_dir, source, tmp_path):
    damaged = shutil.copytree(source, tmp_path / "damaged")
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    done = services.run(data_dir, "models", "add", str(damaged))
    assert done.returncode == 1
    assert f"{weights}: cut off" in done.stderr
    assert not (data_dir / "models" / "damaged").exists()


@pytest.mark.slow
def test_a_check_compares_every_backend(data_dir):
    done = services.run(data_dir, "models", "check", "tiny8")
    assert done.returncode == 0, done.stderr
    rows = dict(line.split("\t", 1) for line in done.stdout.splitlines() if "\t" in line)
    names = {name.strip(" *") for name in rows}
    assert {"torch f32", "openvino f32", "openvino int8"} <= names
    natural, edge, level, rate, against = rows["* openvino int8"].split("\t")
    assert min(float(natural), float(edge)) > 0.99
    assert (level, against) == ("quiet", "itself when it was quantised")
    assert float(rate) > 0
    assert "serves: openvino int8: the model was added with this precision" in done.stdout


@pytest.mark.slow
def test_an_int8_model_serves_a_collection_and_then_cannot_be_removed(serve_static, data_dir, home):
    home.mkdir()
    shutil.copytree(data_dir / "models", home / "models")
    service = serve_static(home)

    def vecmark(*arguments: str) -> str:
        done = services.run(home, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    listed = vecmark("models", "list")
    assert re.search(r"^tiny8\t.*\tadded\t", listed, re.MULTILINE), listed
    vecmark("collections", "create", "notes", "--model", "tiny8")
    with service.client() as client:
        documents = {"documents": [{"id": "a", "text": "A boat in the harbour"}]}
        path = "/v1/collections/notes"
        client.post(f"{path}/documents", json=documents).raise_for_status()
        answer = client.get(f"{path}/search", params={"q": "A boat in the harbour"}).json()
    assert answer["results"][0]["score"] > 0.99
    assert answer["space"]["model"] == "tiny8"
    listed = vecmark("models", "list")
    assert re.search(r"^tiny8\t32\t256\tint8\tloaded\tnotes\tfp1:", listed, re.MULTILINE), listed

    refused = services.run(home, "models", "remove", "tiny8")
    assert refused.returncode == 1
    assert re.search(r"the only files for the space fp1:\w+\.\.\. of notes", refused.stderr)
    vecmark("models", "remove", "tiny")  # no collection needs this one
    vecmark("collections", "delete", "notes", "--yes")
    vecmark("models", "remove", "tiny8")
    assert not list((home / "models").iterdir())
    gone = services.run(home, "models", "remove", "tiny8")
    assert gone.returncode == 1
    assert "unknown model 'tiny8'" in gone.stderr


def test_only_added_models_can_be_removed(data_dir, source):
    for name in ("bundled", str(source)):
        done = services.run(data_dir, "models", "remove", name, "--force")
        assert done.returncode == 1
        assert "was not added" in done.stderr
    assert source.is_dir()
