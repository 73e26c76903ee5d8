"""Models named in requests: one that doesn't fit or is broken doesn't disturb the others."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests import models, services

Serve = Callable[..., services.Service]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A valid static model, and one whose weights are a Git LFS pointer."""
    sound = models.wordllama_directory(tmp_path / "sound")
    pointer = models.variant(tmp_path / "pointer", source=sound, remove=("model.safetensors",))
    (pointer / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    return tmp_path


def test_models_stay_within_the_memory_limit(
    home: Path, serve: Serve, database_url: str, root: Path
):
    service = serve(
        home,
        database_url=database_url,
        model=root / "sound",
        model_roots=root,
        model_memory="100MB",
    )
    with service.client() as client:
        client.post("/v1/documents", json={"documents": [{"id": "a", "text": "a boat"}]})
        refused = client.post("/v1/collections", json={"name": "more", "model": "bundled"})
        assert refused.status_code == 503
        assert refused.json()["type"] == "/problems/no-memory"
        for part in ("all-MiniLM-L6-v2", "100 MB", "the default", "VECMARK_MODEL_MEMORY"):
            assert part in refused.json()["detail"]
        broken = client.post("/v1/collections", json={"name": "more", "model": "pointer"})
        assert broken.status_code == 422
        assert str(root / "pointer" / "model.safetensors") in broken.json()["detail"]
        unknown = client.post("/v1/collections", json={"name": "more", "model": "nothing"})
        assert (unknown.status_code, unknown.json()["type"]) == (422, "/problems/unknown-model")
        created = client.post("/v1/collections", json={"name": "more", "model": "sound"})
        assert created.status_code == 201
        answer = client.get("/v1/search", params={"q": "boat"}).json()
        assert [hit["id"] for hit in answer["results"]] == ["a"]
        assert client.get("/readyz").json()["status"] == "ok"
