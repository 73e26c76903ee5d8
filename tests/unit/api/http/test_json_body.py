"""A handler's `data` is read within its bounds and decoded; every fault names its field."""

import json
from typing import Any

import msgspec
import pytest
from litestar import Litestar, post
from litestar.params import JSONBody

from api.http import bodies, json_body, problems
from tests.unit.api.http.asgi import JSON, send_request

MAX_BYTES = 200


class Options(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    force: bool = False


class NewThing(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    size: int = 3
    options: Options = Options()


@post("/things")
async def create(data: JSONBody[NewThing]) -> dict[str, Any]:
    return {"name": data.name, "size": data.size}


@post("/options")
async def without_body(data: JSONBody[Options] = Options()) -> dict[str, Any]:  # noqa: B008
    return {"force": data.force}


@pytest.fixture
def app() -> bodies.BodyBudget:
    app = Litestar(
        [create, without_body],
        dto=json_body.JsonBody,
        return_dto=None,
        request_class=json_body.BoundedRequest,
        request_max_body_size=None,
        exception_handlers={Exception: problems.respond},
        openapi_config=None,
    )
    return bodies.BodyBudget(app, each=MAX_BYTES, together=1_000)


async def test_the_handler_gets_its_struct(app):
    assert await send_request(app, "POST", "/things", b'{"na', b'me":"a"}') == (
        201,
        '{"name":"a","size":3}',
    )


@pytest.mark.parametrize(
    ("body", "field", "word"),
    [
        (b"", "body", "missing"),
        (b"[" * 150, "body", "object"),
        (b'{"name":', "body", "JSON"),
        (b"null", "body", "object"),
        (b"{}", "body", "name"),
        (b'{"name":5}', "name", "text"),
        (b'{"name":"a","more":1}', "body", "more"),
        (b'{"name":"a","options":{"force":1}}', "options.force", "true or false"),
    ],
)
async def test_a_fault_names_its_field(app, body: bytes, field: str, word: str):
    status, answer = await send_request(app, "POST", "/things", body)
    problem = json.loads(answer)
    assert (status, problem["type"]) == (422, "/problems/validation")
    assert word in problem["detail"]
    assert [error["field"] for error in problem["errors"]] == [field]


async def test_no_body_is_one_without_options(app):
    assert (await send_request(app, "POST", "/options"))[1] == '{"force":false}'
    assert (await send_request(app, "POST", "/options", b'{"force":true}'))[1] == '{"force":true}'


async def test_long_bodies_are_refused(app):
    long = b'{"name":"' + b"a" * MAX_BYTES + b'"}'
    length = {**JSON, "content-length": str(len(long))}
    for headers in (JSON, length):
        status, answer = await send_request(app, "POST", "/things", long, headers=headers)
        assert status == 413
        assert "200 bytes" in answer
    assert app.in_use == 0


async def test_a_full_budget_refuses_with_429(app):
    app.each, app.together = 100_000, 0
    long = b'{"name":"' + b"a" * 70_000 + b'"}'
    assert (await send_request(app, "POST", "/things", long))[0] == 429
    assert (await send_request(app, "POST", "/things", b'{"name":"a"}'))[0] == 201


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 201),
        ({"content-type": "application/json; charset=utf-8"}, 201),
        ({"content-type": "application/x-www-form-urlencoded"}, 201),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "multipart/form-data; boundary=x"}, 415),
        ({**JSON, "content-encoding": "gzip"}, 415),
    ],
)
async def test_content_types(app, headers: dict[str, str], status: int):
    answer = await send_request(app, "POST", "/things", b'{"name":"a"}', headers=headers)
    assert answer[0] == status


async def test_a_body_without_its_end_is_refused(app):
    status, answer = await send_request(app, "POST", "/things", b'{"name":', ends=False)
    assert status == 400
    assert "the connection ended within the body" in answer
