"""The OpenAPI document: its settings, and what routes add to their operations."""

import dataclasses
import importlib.metadata
from collections.abc import Mapping
from typing import Any

from litestar import Request, Response, Router
from litestar.datastructures import ResponseHeader
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.openapi.spec import (
    Example,
    OpenAPIMediaType,
    Operation,
    Reference,
    RequestBody,
)
from litestar.types import Method, OperationIDCreator
from litestar.types.internal_types import PathParameterDefinition

from api.http import json_body, ndjson
from api.schemas import documents as document_schemas
from api.web import pages

EMBEDDING_HEADERS = [
    ResponseHeader(name=name, description=description, value="", documentation_only=True)
    for name, description in (
        ("X-Vecmark-Space", "The id of the space that the vectors belong to."),
        ("X-Vecmark-Model", "The model that made the vectors."),
        ("X-Vecmark-Tokens", "Tokens read, including prompts and special tokens."),
        ("X-Vecmark-Truncated", "`true` if a text was cut at the model's limit."),
    )
]


def operation(name: str) -> OperationIDCreator:
    """The operation's id; the short form of a route, for `default`, gets its own."""

    def identify(
        _handler: HTTPRouteHandler, _method: Method, components: list[str | PathParameterDefinition]
    ) -> str:
        return name if "collections" in components else f"{name}_in_default"

    return identify


def examples(values: Mapping[str, object]) -> type[Operation]:
    """An operation whose JSON body has examples, by their names."""
    by_name: dict[str, Example | Reference] = {
        name: Example(value=value) for name, value in values.items()
    }

    @dataclasses.dataclass
    class WithExamples(Operation):
        def __post_init__(self) -> None:
            if isinstance(self.request_body, RequestBody):
                for content in self.request_body.content.values():
                    content.examples = by_name

    return WithExamples


def documents_body() -> type[Operation]:
    """The body of the route that takes documents: all at once, or a stream of lines."""
    document = json_body.schema(document_schemas.NewDocument)
    many = json_body.schema(document_schemas.NewDocuments)
    many.content["properties"]["documents"]["items"] = document.content

    @dataclasses.dataclass
    class WithDocuments(Operation):
        def __post_init__(self) -> None:
            self.request_body = RequestBody(
                required=True,
                content={
                    json_body.MEDIA_TYPE: OpenAPIMediaType(schema=many),
                    ndjson.MEDIA_TYPE: OpenAPIMediaType(schema=document),
                },
            )

    return WithDocuments


_SECURE = {
    **pages.SECURE,
    # Swagger UI sets style attributes.
    "Content-Security-Policy": pages.SECURE["Content-Security-Policy"].replace(
        "style-src 'self'", "style-src 'self' 'unsafe-inline'"
    ),
    "Cache-Control": "no-cache",
}


class _DocsPage(OpenAPIRenderPlugin):
    """Swagger UI from our own files; Litestar's plugin needs scripts inside the page."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return pages.read("docs.html").encode()


def openapi_config() -> OpenAPIConfig:
    """For `Litestar(openapi_config=...)`."""
    return OpenAPIConfig(
        title="Vecmark",
        version=importlib.metadata.version("vecmark"),
        description=(
            "Turns documents into vectors with a local model, marks every vector with the space "
            "that it belongs to, and finds the nearest documents. Errors are RFC 9457 problems."
        ),
        path="/docs",
        render_plugins=[_DocsPage(path="/")],
        openapi_router=Router(
            "/docs", route_handlers=[], include_in_schema=False, after_request=_secure
        ),
    )


def _secure(response: Response[Any]) -> Response[Any]:
    response.headers.update(_SECURE)
    return response
