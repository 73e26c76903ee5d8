"""Reading request bodies: bounded, decoded strictly, each fault named by its field."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from litestar import Request
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

T = TypeVar("T")

MAX_DEPTH = 16
_AT = re.compile(r"^(?P<reason>.*) - at `\$\.?(?P<field>.*)`$", re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
JSON = "application/json"


class BodyTooLarge(Exception):
    def __init__(self, limit: int) -> None:
        super().__init__(
            f"the body is longer than {limit:,} bytes; send less at once (documents can also be "
            "streamed as application/x-ndjson, one a line)"
        )


class BodyInvalid(Exception):
    """`field` is a path such as `documents[3].text`, None for the body as a whole."""

    def __init__(
        self, reason: str, *, field: str | None = None, status: int = 422, slug: str = "validation"
    ) -> None:
        super().__init__(reason if field is None else f"{field}: {reason}")
        self.reason = reason
        self.field = field
        self.status = status
        self.slug = slug


async def read(
    request: Request[Any, Any, Any], kind: type[T], limit: int, *, empty: bytes = b""
) -> T:
    """The body as `kind`. Raises BodyTooLarge, BodyInvalid, BodiesFull.

    Its bytes count as held until the request is answered. `empty`: what no body at all stands for.
    """
    media_type = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if media_type not in {JSON, "application/x-www-form-urlencoded", ""}:
        raise BodyInvalid(
            f"the content type {media_type!r} is not taken here; send {JSON}",
            status=415,
            slug="unsupported-media-type",
        )
    check_encoding(request)
    return decode(await _collect(request, limit) or empty, kind)


def check_encoding(request: Request[Any, Any, Any]) -> None:
    """Raises BodyInvalid for a compressed body."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise BodyInvalid(
            "compressed bodies are not taken", status=415, slug="unsupported-media-type"
        )


async def _collect(request: Request[Any, Any, Any], limit: int) -> bytes:
    length = int(request.headers.get("content-length") or 0)
    if length > limit:
        raise BodyTooLarge(limit)
    share = share_of(request)
    share.expect(length)
    parts, size = [], 0
    while True:
        message = await request.receive()
        if message["type"] != "http.request":
            raise BodyInvalid("the connection ended within the body", status=400)
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise BodyTooLarge(limit)
        share.take(len(part))
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def decode(raw: bytes | msgspec.Raw, kind: type[T], within: str = "") -> T:
    """`raw` as `kind`; `within` is the path of the part that it is. Raises BodyInvalid."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        found = _AT.match(str(error))
        field = ".".join(filter(None, [within, found["field"] if found else ""]))
        reason = found["reason"] if found else str(error)
        raise BodyInvalid(reason, field=field or "body") from error
    except RecursionError as error:
        raise BodyInvalid("nested too deeply", field=within or "body") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        hint = " (half of a surrogate pair is no character)" if _SURROGATE.search(raw) else ""
        raise BodyInvalid(
            f"this is no JSON that can be read: {error}{hint}", field=within or "body"
        ) from error


def check_metadata(value: object, field: str, depth: int = 0) -> None:
    """Metadata that PostgreSQL can hold: no NUL, not too deep. Raises BodyInvalid."""
    if depth > MAX_DEPTH:
        raise BodyInvalid(f"nested deeper than {MAX_DEPTH} levels", field=field)
    if isinstance(value, str):
        check_text(value, field)
    elif isinstance(value, Mapping):
        for key, part in value.items():
            check_text(str(key), field)
            check_metadata(part, f"{field}.{key}", depth + 1)
    elif isinstance(value, Sequence):
        for no, part in enumerate(value):
            check_metadata(part, f"{field}[{no}]", depth + 1)


def check_text(value: str, field: str) -> None:
    """No NUL and no lone surrogate: neither can be stored. Raises BodyInvalid."""
    if "\0" in value:
        raise BodyInvalid("holds a NUL character (U+0000), which can't be stored", field=field)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BodyInvalid(
            "holds half of a surrogate pair, which is no character", field=field
        ) from error


# So much of each body is not counted: queries get through while uploads fill the budget.
FREE_BYTES = 65_536
_KEY = "body_share"


class BodiesFull(Exception):
    """The bodies of other requests leave no room for this one."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"the requests under way hold {limit:,} bytes of bodies, which is all that is taken at "
            "once; try again when some are answered, or send less at once"
        )


class BodyShare:
    """What one request holds of the budget."""

    def __init__(self, budget: "BodyBudget") -> None:
        self._budget = budget
        self._size = 0

    def expect(self, size: int) -> None:
        """Raises BodiesFull where a body of `size` bytes would not fit now; takes nothing yet."""
        self._budget.check(max(0, size - FREE_BYTES))

    def take(self, size: int) -> None:
        """Hold so many bytes more. Raises BodiesFull."""
        counted = max(0, self._size + size - FREE_BYTES) - self._counted
        self._budget.check(counted)
        self._budget.held += counted
        self._size += size

    def release(self) -> None:
        self._budget.held -= self._counted
        self._size = 0

    @property
    def _counted(self) -> int:
        return max(0, self._size - FREE_BYTES)


class BodyBudget:
    """Around the app: each request has a share, which it holds until it is answered."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self.limit = limit
        self.held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        share = BodyShare(self)
        scope["state"][_KEY] = share
        try:
            await self._app(scope, receive, send)
        finally:
            share.release()

    def check(self, size: int) -> None:
        if self.held + size > self.limit:
            raise BodiesFull(self.limit)


def share_of(request: Request[object, object, object]) -> BodyShare:  # type: ignore[type-var]
    share = request.scope["state"][_KEY]
    if not isinstance(share, BodyShare):
        raise TypeError(type(share))
    return share
