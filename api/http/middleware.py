"""What happens to every request before its route: the raw path, unknown query parameters."""

import functools
from typing import Any

from litestar import Request
from litestar.enums import ScopeType
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter
from litestar.types import ASGIApp, Receive, Scope, Send

from api.http import problems


class RawPath:
    """Around the app: the router sees percent-encoded segments; handlers decode them.

    A document's id may contain `/`, sent as `%2F`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            raw = scope.get("raw_path") or b""
            path = raw.partition(b"?")[0].decode("latin-1")
            # Only ids of documents need it; other paths are matched decoded.
            if "%" in path and "/documents/" in path:
                scope["path"] = path
        await self._app(scope, receive, send)


_STRICT = ("/v1/", "/embed", "/tokenize", "/similarity")


async def refuse_unknown_parameters(request: Request[Any, Any, Any]) -> None:
    """Litestar's `before_request`. Raises Invalid naming the query parameter."""
    if not request.query_params or not request.url.path.startswith(_STRICT):
        return
    allowed = _query_parameters(request.route_handler)
    for name in request.query_params:
        if name not in allowed:
            raise problems.Invalid(name, "unknown query parameter; /docs lists those of this route")


@functools.cache
def _query_parameters(handler: BaseRouteHandler) -> frozenset[str]:
    """The query parameters that the handler declares, without path parameters and dependencies."""
    return frozenset(
        name
        for name, field in handler.parsed_fn_signature.parameters.items()
        if isinstance(field.kwarg_definition, QueryParameter)
    )
