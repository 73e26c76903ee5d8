"""The model is missing or replaced: the service starts, stores writes and reports the problem."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests import models, services, waiting

Serve = Callable[..., services.Service]
# What works before a model is loaded, and without one.
HEALTH = "/healthz"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small static model in its own directory."""
    return models.wordllama_directory(tmp_path / "model_files")


@pytest.fixture
def another(tmp_path: Path) -> Path:
    """The same weights with a prompt: another space."""
    return models.wordllama_directory(tmp_path / "another", document_prompt="the text is about: ")


def index(client: httpx.Client, id_: str, text: str) -> dict[str, object]:
    sent = {"documents": [{"id": id_, "text": text}]}
    answer = client.post("/v1/documents", json=sent)
    assert answer.status_code == 200, answer.text
    (result,) = answer.json()["results"]
    return dict(result)


def check_missing(client: httpx.Client, lost: str) -> None:
    """Writes are stored, searches are refused with the reason, and both are reported."""
    stored = index(client, "later", "a bridge over the river")
    assert stored["status"] == "created"
    assert stored["pending"] is True
    refused = client.get("/v1/search", params={"q": "bridge"})
    assert refused.status_code == 503
    assert refused.json()["type"] == "/problems/model-missing"
    assert lost in refused.json()["detail"]
    document = client.get("/v1/documents/later").json()
    assert (document["text"], document["searchable"]) == ("a bridge over the river", False)
    assert client.get("/v1/collections/default").json()["pending"] == 1
    states = {model["space"]: model["state"] for model in client.get("/v1/models").json()["data"]}
    assert states[lost] == "missing"
    # Everything that needs no model works.
    similar = client.get("/v1/documents/early/similar")
    assert similar.status_code == 200
    unchanged = index(client, "early", "a boat on the lake")
    assert unchanged["status"] == "unchanged"


def check_healed(service: services.Service, client: httpx.Client, lost: str) -> None:
    waiting.until(
        lambda: client.get("/v1/collections/default").json()["pending"] == 0, details=service.output
    )
    answer = client.get("/v1/search", params={"q": "bridge over the river", "exact": True})
    assert answer.json()["space"]["id"] == lost
    assert [hit["id"] for hit in answer.json()["results"]] == ["later", "early"]


@pytest.fixture
def lost(home: Path, serve: Serve, database_url: str, model: Path) -> str:
    """The space in which a service that has stopped indexed a document."""
    service = serve(home, database_url=database_url, model=model)
    with service.client() as client:
        index(client, "early", "a boat on the lake")
        space = str(client.get("/v1/collections/default").json()["space"]["id"])
    service.stop()
    return space


def test_another_model_is_configured(
    home: Path, serve: Serve, database_url: str, *, another: Path, model: Path, lost: str
):
    other = serve(home, database_url=database_url, model=another, ready=False)
    other.wait_ready(HEALTH)
    with other.client() as client:
        check_missing(client, lost)
    other.stop()
    again = serve(home, database_url=database_url, model=another, model_roots=model.parent)
    with again.client() as client:
        check_healed(again, client, lost)


def test_files_behind_the_path_are_replaced(
    home: Path, serve: Serve, database_url: str, model: Path, lost: str
):
    tensors = models.load_tensors(model)
    models.save_tensors(model, models.shaken(tensors))
    other = serve(home, database_url=database_url, model=model, ready=False)
    other.wait_ready(HEALTH)
    with other.client() as client:
        check_missing(client, lost)
        client.post("/v1/collections", json={"name": "new"}).raise_for_status()
        assert client.get("/v1/collections/new").json()["space"]["id"] != lost
    other.stop()
    models.save_tensors(model, tensors)
    again = serve(home, database_url=database_url, model=model, ready=False)
    again.wait_ready(HEALTH)
    with again.client() as client:
        check_healed(again, client, lost)


def test_no_model_at_all(home: Path, serve: Serve, database_url: str, tmp_path: Path):
    service = serve(home, database_url=database_url, model=tmp_path / "nothing", ready=False)
    service.wait_ready(HEALTH)
    with service.client() as client:
        assert client.get("/readyz").status_code == 503
        refused = client.post("/v1/documents", json={"documents": [{"text": "a boat"}]})
        assert refused.status_code == 503
        assert "nothing" in refused.json()["detail"]
        assert client.get("/v1/collections").status_code == 200
