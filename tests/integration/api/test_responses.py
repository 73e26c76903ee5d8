"""If a client disconnects, its texts are taken out of the encoder's queue."""

import asyncio
import json

import pytest

from api import settings
from api.app import create_app

MANY = {"texts": [f"{no} " * 50 for no in range(500)]}


async def ask(app, path: str, body: object, *, stays: bool) -> int:
    """The status that the application sends to a client that disconnects at once, or stays."""
    messages = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]
    statuses: list[int] = []
    never = asyncio.Event()

    async def receive():
        if messages:
            return messages.pop()
        if stays:
            await never.wait()
        return {"type": "http.disconnect"}

    async def send(message) -> None:
        statuses.extend([message["status"]] if "status" in message else [])

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "state": {},
    }
    await app(scope, receive, send)
    (status,) = statuses
    return status


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"model": "bundled", "input": MANY["texts"]}),
        ("/embed", MANY),
        ("/tokenize", MANY),
        ("/similarity", {"text": "a", **MANY}),
    ],
)
async def test_encoding_stops_when_the_client_disconnects(app, capfd, path, body):
    loaded = app.state.service.models.default
    if path == "/v1/embeddings":
        body = {**body, "model": loaded.fingerprint}
    assert await ask(app, path, body, stays=False) == 499
    assert loaded.model.status().waiting_tokens == 0
    assert await ask(app, path, body, stays=True) == 200
    assert capfd.readouterr().err == ""


@pytest.fixture
async def app(database_url, data_dir, static_model, model_cache):
    data_dir.mkdir()
    (data_dir / "cache").symlink_to(model_cache, target_is_directory=True)
    own_settings = settings.load(
        {}, database_url=database_url, data_dir=data_dir, model=str(static_model), log_level="info"
    )
    app = create_app(own_settings)
    async with app.lifespan():
        yield app
