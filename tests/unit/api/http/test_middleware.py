"""Query parameters that a route does not have are refused, whatever else they are named like."""

import json
import re

import pytest
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from api.app import create_app
from api.http import openai_errors
from api.settings import Settings
from tests.unit.api.http import asgi

APP = create_app(Settings())
STRICT = ("/v1/", "/embed", "/tokenize", "/similarity")
# What a handler may be given that is not a query parameter.
OTHERS = {"service", "request", "data", "collection", "document_id", "migration_id", "model_id"}


def routes() -> list[tuple[str, str, HTTPRouteHandler]]:
    """(method, path, handler) of every route that is strict about its parameters."""
    found = [
        (str(method), route.path_format, handler)
        for route in APP.routes
        if isinstance(route, HTTPRoute) and route.path.startswith(STRICT)
        for handler in route.route_handlers
        for method in handler.http_methods
        if method != "OPTIONS"
    ]
    assert len(found) > 25
    return sorted(found, key=lambda route: route[:2])


@pytest.mark.parametrize(("method", "path", "handler"), routes())
async def test_other_parameters_are_refused_in_the_query(
    method: str, path: str, handler: HTTPRouteHandler
):
    filled = re.sub(r"\{\w+\}", "x", path)
    names = OTHERS & set(handler.parsed_fn_signature.parameters)
    assert "service" in names
    for name in {*names, *re.findall(r"\{(\w+)\}", path), "nonsense"}:
        status, body = await asgi.send_request(APP, method, filled, b"{}", query=f"{name}=x")
        assert status in {400, 422}, (name, body)
        problem = json.loads(body)
        if path == openai_errors.PATH:
            assert problem["error"]["param"] == name
        else:
            assert [error["field"] for error in problem["errors"]] == [name]
