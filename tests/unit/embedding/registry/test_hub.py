import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.errors as hub_errors
import pytest

from embedding import errors
from embedding.model_files import description
from embedding.registry import hub, sources
from tests import models

COMMIT = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of a model hub as its client asks for: what a repository holds, and its files."""

    protocol_version = "HTTP/1.1"
    repository: Path

    def do_GET(self) -> None:
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        if "/org/gone" in path:
            self.reply(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif path.startswith("/api/models/org/name/tree/"):
            files = [file for file in sorted(self.repository.rglob("*")) if file.is_file()]
            entries = [
                {
                    "type": "file",
                    "path": str(file.relative_to(self.repository)),
                    "size": file.stat().st_size,
                    "oid": "0" * 40,
                }
                for file in files
            ]
            self.reply(200, json.dumps(entries).encode())
        elif path.startswith("/api/models/org/name"):
            names = [file for file in sorted(self.repository.rglob("*")) if file.is_file()]
            siblings = [{"rfilename": str(file.relative_to(self.repository))} for file in names]
            info = {"id": "org/name", "sha": COMMIT, "siblings": siblings}
            self.reply(200, json.dumps(info).encode())
        else:
            name = path.removeprefix(f"/org/name/resolve/{COMMIT}/")
            content = (self.repository / name).read_bytes()
            self.reply(200, content, {"ETag": f'"{hashlib.sha256(content).hexdigest()}"'})

    do_HEAD = do_GET

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in ({"X-Repo-Commit": COMMIT} | (headers or {})).items():
            self.send_header(key, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        pass


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[str]:
    """A hub on this machine with one small repository, org/name."""
    Hub.repository = models.variant(tmp_path / "repository")
    (Hub.repository / "onnx").mkdir()
    (Hub.repository / "onnx" / "model.onnx").write_bytes(b"the same weights once more")
    (Hub.repository / "pytorch_model.bin").write_bytes(b"and once more")
    (Hub.repository / "custom.py").write_text("raise SystemExit")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def download(
    folder: Path, model_id: str, revision: str | None, **settings: str
) -> subprocess.CompletedProcess[str]:
    """In a separate process: the hub's client reads its settings when it is imported."""
    code = (
        "import sys; from pathlib import Path\n"
        "from embedding import errors; from embedding.registry import hub\n"
        "try:\n"
        f"    print(hub.download({model_id!r}, {revision!r}, Path(sys.argv[1])).directory)\n"
        "except errors.EmbeddingError as exc:\n"
        "    print(f'{type(exc).__name__}: {exc}')\n"
    )
    home = {"HF_HOME": str(folder / "home"), "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1"}
    return subprocess.run(
        [sys.executable, "-c", code, str(folder / "models")],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(hub.__file__).parents[2],
        env={**os.environ, "HF_HUB_DISABLE_TELEMETRY": "1", **home, **settings},
    )


@pytest.mark.parametrize("revision", [None, "main", COMMIT])
def test_a_model_is_downloaded_whole_and_without_what_is_not_read(
    tmp_path: Path, endpoint: str, revision: str | None
) -> None:
    done = download(tmp_path, "org/name", revision, HF_ENDPOINT=endpoint, HF_HUB_OFFLINE="0")
    folder = tmp_path / "models" / f"org--name@{COMMIT}"
    assert done.stdout.strip() == str(folder)
    assert os.listdir(tmp_path / "models") == [folder.name]
    names = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert {"model.safetensors", "1_Pooling/config.json", "README.md", "source.json"} <= names
    assert not names & {"custom.py", "pytorch_model.bin", "onnx/model.onnx"}
    found = sources.resolve("org/name", roots=[], models_dir=tmp_path / "models")
    assert found.revision == COMMIT
    described = description.describe("x", folder).space
    assert described == description.describe("x", models.minilm_directory()).space


def test_a_download_that_is_not_a_model_leaves_nothing(tmp_path: Path, endpoint: str) -> None:
    (Hub.repository / "model.safetensors").unlink()
    done = download(tmp_path, "org/name", None, HF_ENDPOINT=endpoint, HF_HUB_OFFLINE="0")
    assert done.stdout.startswith("ModelInvalid: ")
    assert not os.listdir(tmp_path / "models")


def test_an_unknown_model_is_called_unknown(tmp_path: Path, endpoint: str) -> None:
    done = download(tmp_path, "org/gone", None, HF_ENDPOINT=endpoint, HF_HUB_OFFLINE="0")
    assert done.stdout.startswith("ModelNotFound: the hub has no model org/gone")


@pytest.mark.parametrize("revision", [None, "main", COMMIT])
def test_without_a_network_the_error_says_what_to_do(tmp_path: Path, revision: str | None) -> None:
    done = download(tmp_path, "intfloat/e5-base-v2", revision, HF_HUB_OFFLINE="1")
    assert done.stdout.startswith("ModelUnavailable: intfloat/e5-base-v2")
    assert "use its path" in done.stdout
    assert not list((tmp_path / "models").glob("*"))


@pytest.mark.parametrize("name", ["e5-base-v2", "a/b/c", "", "org/name@main", "/etc/passwd"])
def test_only_a_hub_id_is_requested(tmp_path: Path, name: str) -> None:
    with pytest.raises(errors.ModelNotFound, match="not a hub id"):
        hub.download(name, None, tmp_path)


@pytest.mark.parametrize(
    ("raised", "expected", "text"),
    [
        (hub_errors.GatedRepoError, errors.ModelUnavailable, "HF_TOKEN"),
        (hub_errors.RepositoryNotFoundError, errors.ModelNotFound, "hub has no model org/name"),
        (hub_errors.RevisionNotFoundError, errors.ModelNotFound, "no revision v9"),
    ],
)
def test_errors_of_the_hub_are_explained(
    raised: type[hub_errors.HfHubHTTPError], expected: type[errors.EmbeddingError], text: str
) -> None:
    # Made without a response: how the client builds one differs from version to version.
    found = hub.translate_error("org/name", "v9", raised.__new__(raised))
    assert type(found) is expected
    assert text in str(found)


def test_a_downloaded_commit_is_not_fetched_again(tmp_path: Path) -> None:
    folder = models.variant(tmp_path / sources.hub_folder("org/name", COMMIT))
    (folder / sources.RECORD).write_text(f'{{"id": "org/name", "revision": "{COMMIT}"}}')
    found = hub.download("org/name", COMMIT, tmp_path)
    assert found.directory == folder
    assert found.revision == COMMIT


def test_a_finished_download_appears_whole(tmp_path: Path) -> None:
    part = models.variant(tmp_path / ".download-1")
    target = tmp_path / sources.hub_folder("org/name", COMMIT)
    target.mkdir()  # what a copy that stopped left behind
    (target / "half").touch()
    hub.publish(part, target, {"id": "org/name", "revision": COMMIT, "asked": "main"})
    source = sources.resolve("org/name@main", roots=[], models_dir=tmp_path)
    assert source.directory == target
    assert not (target / "half").exists()
    assert not part.exists()
