"""A query parameter that no route knows is an error, not a wish passed over in silence."""

from typing import Any

from litestar import Request

from api import problems

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
