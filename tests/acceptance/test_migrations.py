"""Re-embed migrations over HTTP, against real services."""

import json
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import models, services, waiting
from tests.acceptance import truths

Serve = Callable[..., services.Service]
OTHER = "prompted"


@pytest.fixture(scope="session")
def roots(static_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models with equal dimensions under one root: `static`, and `prompted` with a prompt."""
    folder = tmp_path_factory.mktemp("migration-roots")
    models.variant(folder / "static", source=static_model)
    prompts = {"query": "", "document": "the text is about: "}
    models.variant(
        folder / OTHER,
        source=static_model,
        configs={"config_sentence_transformers.json": {"prompts": prompts}},
    )
    return folder


@pytest.fixture(scope="session")
def shared_moving(model_cache: Path, static_model: Path, roots: Path) -> Iterator[services.Service]:
    """One service with an embedded PostgreSQL, for tests that leave it unchanged."""
    with (
        services.directory() as data_dir,
        services.serving(data_dir, model_cache, model=static_model, model_roots=roots) as service,
    ):
        yield service
        assert "task_died" not in service.output()
        assert "request_failed" not in service.output()


@pytest.fixture
def http(shared_moving: services.Service) -> Iterator[httpx.Client]:
    with shared_moving.client() as client:
        yield client


@pytest.fixture
def path(http: httpx.Client) -> str:
    """Path of the migrations of a new collection with thirty documents."""
    name = f"m{secrets.token_hex(5)}"
    http.post("/v1/collections", json={"name": name}).raise_for_status()
    fill(http, name)
    return f"/v1/collections/{name}/migrations"


def fill(http: httpx.Client, name: str, count: int = 30) -> None:
    sent = [{"id": f"d{no}", "text": f"boat number {no} on the lake"} for no in range(count)]
    http.post(f"/v1/collections/{name}/documents", json={"documents": sent}).raise_for_status()


def start(http: httpx.Client, path: str, **options: object) -> dict[str, Any]:
    answer = http.post(path, json={"model": OTHER, **options})
    assert answer.status_code == 202, answer.text
    migration: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"{path}/{migration['id']}"
    return migration


def reach(http: httpx.Client, path: str, id_: str, *states: str) -> dict[str, Any]:
    last: dict[str, Any] = {}

    def arrived() -> bool:
        last.update(http.get(f"{path}/{id_}").raise_for_status().json())
        return last["state"] in states

    waiting.until(arrived, 120, details=lambda: f"{last.get('state')}: {last.get('error')}")
    return last


def test_a_migration_from_start_to_rollback(http: httpx.Client, path: str):
    migration = start(http, path)
    assert migration["state"] in {"planned", "backfilling"}
    there = reach(http, path, migration["id"], "soaking")
    states = [change["state"] for change in there["history"]]
    assert states == [
        "planned",
        "backfilling",
        "building",
        "verifying",
        "ready",
        "cutting",
        "soaking",
    ]
    assert there["verdict"]["passed"] is True
    assert there["lag"] == {"pending": 0, "failed": 0}
    search = path.replace("migrations", "search")
    assert http.get(search, params={"q": "boat"}).json()["space"] == there["target"]["space"]
    back = http.post(f"{path}/{migration['id']}/rollback").raise_for_status().json()
    assert back["state"] == "rolled_back"
    assert http.get(search, params={"q": "boat"}).json()["space"] == there["source"]["space"]
    listed = http.get(path).json()["items"]
    assert [item["id"] for item in listed] == [migration["id"]]


def test_an_unnecessary_migration_is_reported_and_not_started(http: httpx.Client, path: str):
    answer = http.post(path, json={"model": "static"})
    assert answer.status_code == 200
    assert answer.json()["needed"] is False
    assert http.get(path).json()["items"] == []


def test_a_second_migration_is_refused_naming_the_first(http: httpx.Client, path: str):
    first = start(http, path, manual=True)
    refused = http.post(path, json={"model": OTHER})
    problem = truths.is_problem(refused, 409)
    assert problem["type"] == "/problems/migration-running"
    assert first["id"] in problem["detail"]


def test_commands_not_allowed_in_the_state_are_refused(http: httpx.Client, path: str):
    migration = start(http, path, manual=True)
    reach(http, path, migration["id"], "ready")
    for order in ("rollback", "retire", "resume"):
        truths.is_problem(http.post(f"{path}/{migration['id']}/{order}"), 409)
    assert http.post(f"{path}/{migration['id']}/pause").json()["state"] == "paused"
    assert http.post(f"{path}/{migration['id']}/resume").json()["state"] == "ready"
    assert http.post(f"{path}/{migration['id']}/cancel").json()["state"] == "cancelled"
    for order in ("cancel", "pause", "cutover", "rollback", "retire", "resume"):
        problem = truths.is_problem(http.post(f"{path}/{migration['id']}/{order}"), 409)
        assert "cancelled" in problem["detail"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"model": 3}, "model"),
        ({"model": OTHER, "gates": {"recall": 2}}, "gates.recall"),
        ({"model": OTHER, "gates": {"speed": 1}}, "gates"),
        ({"model": OTHER, "retain": "a while"}, "retain"),
        ({"model": OTHER, "retain": "900d"}, "retain"),
        ({"model": OTHER, "max_rate": 0}, "max_rate"),
        ({"model": OTHER, "golden": [{"q": "boat"}]}, "golden[0]"),
        ({"model": OTHER, "golden": [{"q": "b\0", "relevant": {"d1": 1}}]}, "golden[0].q"),
        ({"model": OTHER, "golden": [{"q": "b", "relevant": {"d1": -1}}]}, "golden[0].relevant"),
        ({"model": OTHER, "golden": [{"q": "b", "relevant": {"d\0": 1}}]}, "golden[0].relevant"),
        ({"model": OTHER, "gates": {"ndcg_drop": 0.1}}, "gates.ndcg_drop"),
        ({"model": OTHER, "chunking": {"size": 1}}, None),
        ({"model": "nobody/knows"}, None),
        ({"model": "../static"}, None),
    ],
)
def test_invalid_options_are_refused_by_field(
    http: httpx.Client, path: str, body: dict[str, object], field: str | None
):
    problem = truths.is_problem(http.post(path, json=body), 422)
    if field is not None:
        assert any(error["field"].startswith(field) for error in problem["errors"]), problem


@pytest.mark.parametrize("order", ["cutover", "rollback"])
def test_a_reason_that_cannot_be_stored_is_refused(http: httpx.Client, path: str, order: str):
    migration = start(http, path, manual=True)
    answer = http.post(f"{path}/{migration['id']}/{order}", json={"force": "because\0of it"})
    assert truths.is_problem(answer, 422)["errors"][0]["field"] == "force"


def test_unknown_migrations_are_not_found(http: httpx.Client, path: str):
    for id_ in ("nonsense", "00000000-0000-0000-0000-000000000000"):
        truths.is_problem(http.get(f"{path}/{id_}"), 404)
        truths.is_problem(http.post(f"{path}/{id_}/cancel"), 404)
    truths.is_problem(http.get("/v1/collections/nobody/migrations"), 404)
    migration = start(http, path, manual=True)
    other = http.get(f"/v1/collections/default/migrations/{migration['id']}")
    truths.is_problem(other, 404)


def test_the_report_is_available_as_json_and_as_a_page(http: httpx.Client, path: str):
    migration = start(
        http, path, manual=True, golden=[{"q": "boat number 3", "relevant": {"d3": 1}}]
    )
    reach(http, path, migration["id"], "ready")
    report = http.get(f"{path}/{migration['id']}/report").raise_for_status().json()
    assert report["coverage"]["missing"] == 0
    assert report["ndcg"]["queries"] == 1
    page = http.get(f"{path}/{migration['id']}/report", params={"format": "text"})
    assert page.headers["content-type"].startswith("text/plain")
    assert "coverage" in page.text


def test_a_report_that_does_not_exist_yet(http: httpx.Client, path: str):
    migration = start(http, path, manual=True, max_rate=1)
    answer = http.get(f"{path}/{migration['id']}/report")
    assert truths.is_problem(answer, 404)["type"] == "/problems/no-report"


def test_the_rate_is_limited_and_can_be_changed(http: httpx.Client, path: str):
    """At 0.1 chunks per second the thirty would take minutes; the new limit lets them finish."""
    migration = start(http, path, max_rate=0.1)
    slow = reach(http, path, migration["id"], "backfilling")
    assert slow["options"]["max_rate"] == 0.1
    changed = http.patch(f"{path}/{migration['id']}", json={"max_rate": None}).raise_for_status()
    assert changed.json()["options"]["max_rate"] is None
    assert changed.json()["options"]["query_p95_ms"] == slow["options"]["query_p95_ms"]
    reach(http, path, migration["id"], "soaking")


def test_stopping_the_service_ends_a_migrations_events(home: Path, serve: Serve, roots: Path):
    """The stream ends cleanly rather than breaking off, so a client knows it can reconnect."""
    service = serve(home, model=roots / "static", model_roots=roots)
    with service.client() as client:
        fill(client, "default")
        path = "/v1/collections/default/migrations"
        migration = start(client, path, manual=True)
        with client.stream("GET", f"{path}/{migration['id']}/events") as stream:
            lines = stream.iter_lines()
            assert next(lines) == "event: migration"
            stopping = threading.Thread(target=service.stop)
            stopping.start()
            for _ in lines:
                pass
        stopping.join()


def test_events_report_every_state_until_the_end(http: httpx.Client, path: str):
    migration = start(http, path, retain=0)
    seen = []
    with http.stream("GET", f"{path}/{migration['id']}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            if line.startswith("data: "):
                seen.append(json.loads(line.removeprefix("data: "))["state"])
    assert seen[-1] == "done"


def test_a_plan_measures_and_changes_nothing(http: httpx.Client, path: str):
    plan = http.post(f"{path}/plan", json={"model": OTHER}).raise_for_status().json()
    assert plan["needed"] is True
    assert plan["change"] == "space"
    assert plan["documents"] == 30
    assert plan["chunks"] >= 30
    assert plan["seconds"]["low"] <= plan["seconds"]["likely"] <= plan["seconds"]["high"]
    assert plan["disk"]["peak_bytes"] > 0
    assert http.get(path).json()["items"] == []
    same = http.post(f"{path}/plan", json={"model": "static"}).raise_for_status().json()
    assert same["needed"] is False


def test_deleting_a_collection_deletes_its_migration(http: httpx.Client, path: str):
    start(http, path, max_rate=1)
    collection = path.removesuffix("/migrations")
    assert http.delete(collection).status_code == 204
    truths.is_problem(http.get(path), 404)


def test_the_source_model_is_gone(home: Path, serve: Serve, tmp_path: Path):
    """Its files were replaced: the cutover restores searches, and a rollback is refused."""
    files = models.wordllama_directory(tmp_path / "model_files")
    first = serve(home, model=files)
    with first.client() as client:
        fill(client, "default")
        lost_space = client.get("/v1/collections/default").json()["space"]["id"]
    first.stop()
    models.save_tensors(files, models.shaken(models.load_tensors(files)))
    service = serve(home, model=files, ready=False)
    service.wait_ready("/healthz")
    path = "/v1/collections/default/migrations"
    with service.client() as client:
        refused = truths.is_problem(client.get("/v1/search", params={"q": "boat"}), 503)
        assert f"vecmark migrate start --to {files}" in refused["detail"]
        migration = client.post(path, json={"model": str(files)}).raise_for_status().json()
        there = reach(client, path, migration["id"], "soaking")
        report = client.get(f"{path}/{migration['id']}/report").json()
        assert report["overlap"] is None
        assert report["translation"] is None
        assert "overlap" in report["unavailable"]
        answer = client.get("/v1/search", params={"q": "boat number 7"}).raise_for_status().json()
        assert answer["space"] == there["target"]["space"]
        written = client.post(
            "/v1/documents", json={"documents": [{"id": "later", "text": "a loaf of bread"}]}
        )
        assert "pending" not in written.json()["results"][0]
        problem = truths.is_problem(client.post(f"{path}/{migration['id']}/rollback"), 409)
        assert problem["type"] == "/problems/rollback-refused"
        assert lost_space in problem["detail"]
        assert client.get(f"{path}/{migration['id']}").json()["lag"]["pending"] == 1
