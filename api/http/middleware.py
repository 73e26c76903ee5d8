"""Routing on the path as it was sent: a document's id may hold `/`, sent as `%2F`."""

from typing import Any

from litestar import Request
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from api.http import problems


class RawPath:
    """Around the app: the router sees percent-encoded segments; handlers decode them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            raw = scope.get("raw_path") or b""
            path = raw.partition(b"?")[0].decode("latin-1")
            # Only documents have ids that need it; other paths are matched as they are decoded.
            if "%" in path and "/documents/" in path:
                scope["path"] = path
        await self._app(scope, receive, send)


_NO_QUERY = {"service", "request", "collection", "document_id", "model_id"}
_STRICT = ("/v1/", "/embed", "/tokenize", "/similarity")


async def known_parameters(request: Request[Any, Any, Any]) -> None:
    """Litestar's `before_request`. Raises Invalid naming the parameter."""
    if not request.query_params or not request.url.path.startswith(_STRICT):
        return
    known = set(request.route_handler.parsed_fn_signature.parameters)
    for name in request.query_params:
        if name not in known or name in _NO_QUERY:
            raise problems.Invalid(name, "this route has no such query parameter; see /docs")
