"""GET /docs: the API's description in a page that loads nothing from elsewhere."""

import importlib.metadata
from typing import Any

from litestar import Request, Response, Router
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import OpenAPIRenderPlugin

from api.web import pages

_SECURE = {
    **pages.SECURE,
    # Swagger UI sets style attributes.
    "Content-Security-Policy": pages.SECURE["Content-Security-Policy"].replace(
        "style-src 'self'", "style-src 'self' 'unsafe-inline'"
    ),
    "Cache-Control": "no-cache",
}


class _Page(OpenAPIRenderPlugin):
    """Swagger UI from our own files; Litestar's plugin needs scripts inside the page."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return pages.read("docs.html").encode()


def openapi_config() -> OpenAPIConfig:
    """The description's settings for `Litestar(openapi_config=...)`."""
    return OpenAPIConfig(
        title="Vecmark",
        version=importlib.metadata.version("vecmark"),
        description=(
            "Turns documents into vectors with a local model, marks every vector with the space "
            "that it belongs to, and finds the nearest documents. Errors are RFC 9457 problems."
        ),
        path="/docs",
        render_plugins=[_Page(path="/")],
        openapi_router=Router(
            "/docs", route_handlers=[], include_in_schema=False, after_request=_secure
        ),
    )


def _secure(response: Response[Any]) -> Response[Any]:
    response.headers.update(_SECURE)
    return response
