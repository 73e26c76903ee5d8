"""JSON bodies: a handler that declares `data: NewCollection` gets it read, checked and decoded."""

import dataclasses
from collections.abc import AsyncGenerator, Generator
from typing import Any

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.dto import AbstractDTO, DTOFieldDefinition
from litestar.openapi.spec import Schema
from litestar.typing import FieldDefinition

from api.http import bodies

MEDIA_TYPE = "application/json"
# curl's --data sends the second one by default.
_ACCEPTED = {MEDIA_TYPE, "application/x-www-form-urlencoded", ""}


class BoundedRequest(Request[None, None, State]):
    """A request whose body is JSON, bounded in bytes, and counted until the request is answered."""

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """Litestar's `body()` reads through this. Raises BodyInvalid, BodyTooLarge, BodiesFull."""
        media_type = self.headers.get("content-type", MEDIA_TYPE).partition(";")[0].strip().lower()
        if media_type not in _ACCEPTED:
            raise bodies.BodyInvalid(
                f"the content type {media_type!r} is not accepted here; send {MEDIA_TYPE}",
                status=415,
                slug="unsupported-media-type",
            )
        self.refuse_compression()
        share = bodies.share_of(self.scope)
        share.expect(int(self.headers.get("content-length") or 0))
        more = True
        while more:
            message = await self.receive()
            if message["type"] != "http.request":
                raise bodies.BodyInvalid("the connection ended within the body", status=400)
            part = message.get("body", b"")
            share.take(len(part))
            yield part
            more = message.get("more_body", False)

    def refuse_compression(self) -> None:
        """Raises BodyInvalid for a compressed body."""
        if self.headers.get("content-encoding", "identity") != "identity":
            raise bodies.BodyInvalid(
                "compressed bodies are not accepted", status=415, slug="unsupported-media-type"
            )


class JsonBody(AbstractDTO[Any]):
    """The `data` of every handler, decoded by `bodies.decode` as the type that it declares."""

    def decode_bytes(self, value: bytes) -> Any:
        """Raises BodyInvalid."""
        field = self.asgi_connection.route_handler.parsed_data_field
        return bodies.decode(value, field.annotation)

    @classmethod
    def create_for_field_definition(cls, *_: object, **__: object) -> None:
        """Litestar's own decoders are not needed."""

    @classmethod
    def create_openapi_schema(
        cls, field_definition: FieldDefinition, handler_id: str, schema_creator: object
    ) -> Schema:
        return schema(field_definition.annotation)

    @classmethod
    def generate_field_definitions(
        cls, model_type: type[Any]
    ) -> Generator[DTOFieldDefinition, None, None]:
        yield from ()

    @classmethod
    def detect_nested_field(cls, field_definition: FieldDefinition) -> bool:
        return False


@dataclasses.dataclass
class JsonSchema(Schema):
    """A schema that msgspec has written already."""

    content: dict[str, Any] = dataclasses.field(default_factory=dict)

    def to_schema(self) -> dict[str, Any]:
        return self.content


def schema(kind: type[msgspec.Struct]) -> JsonSchema:
    """The JSON schema of a body, without references."""
    (root,), components = msgspec.json.schema_components([kind], ref_template="{name}")
    return JsonSchema(content=_inline(root, components))


def _inline(part: Any, components: dict[str, Any]) -> Any:
    if isinstance(part, list):
        return [_inline(item, components) for item in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _inline(components[part["$ref"]], components)
    return {key: _inline(value, components) for key, value in part.items()}
