"""Request bodies: decoded strictly, each fault named by its field, and bounded in memory."""

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from api.http import validation

T = TypeVar("T")

MAX_DEPTH = 16
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class BodyTooLarge(Exception):
    """One body is longer than allowed."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"the body is longer than {limit:,} bytes; send less at once (documents can also be "
            "streamed as application/x-ndjson, one per line)"
        )


class BodiesFull(Exception):
    """The bodies of other requests leave no room for this one."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"the bodies of all requests in progress would exceed {limit:,} bytes; try again in a "
            "few seconds, or send less at once"
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


def decode(raw: bytes | msgspec.Raw, kind: type[T], within: str = "") -> T:
    """`raw` as `kind`; `within`: its path within the body, if it is a part. Raises BodyInvalid."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        field, reason = validation.split(str(error))
        field = ".".join(filter(None, [within, field]))
        raise BodyInvalid(reason, field=field or "body") from error
    except RecursionError as error:
        raise BodyInvalid("is nested too deeply", field=within or "body") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        hint = " (half of a surrogate pair is not a character)" if _SURROGATE.search(raw) else ""
        raise BodyInvalid(f"is not valid JSON: {error}{hint}", field=within or "body") from error


def check_metadata(value: object, field: str, depth: int = 0) -> None:
    """Metadata that PostgreSQL can hold: no NUL, not too deep. Raises BodyInvalid."""
    if depth > MAX_DEPTH:
        raise BodyInvalid(f"is nested deeper than {MAX_DEPTH} levels", field=field)
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
    """Refuses NUL and lone surrogates, which can't be stored. Raises BodyInvalid."""
    if "\0" in value:
        raise BodyInvalid("contains a NUL character (U+0000), which can't be stored", field=field)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BodyInvalid(
            "contains half of a surrogate pair, which is not a character", field=field
        ) from error


# This much of each body is not counted: queries get through while uploads fill the budget.
FREE_BYTES = 65_536
_KEY = "body_share"


class BodyBudget:
    """Around the app: each request has a share, which it holds until it is answered.

    A body has at most `each` bytes; all bodies in use at a time have at most `together`.
    """

    def __init__(self, app: ASGIApp, *, each: int, together: int) -> None:
        self._app = app
        self.each = each
        self.together = together
        self.in_use = 0

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
        """Raises BodiesFull if `size` bytes more don't fit."""
        if self.in_use + size > self.together:
            raise BodiesFull(self.together)


class BodyShare:
    """One request's share of the budget."""

    def __init__(self, budget: BodyBudget) -> None:
        self._budget = budget
        self._size = 0

    def expect(self, size: int) -> None:
        """Takes nothing yet. Raises BodyTooLarge, BodiesFull if a body of `size` does not fit."""
        if size > self._budget.each:
            raise BodyTooLarge(self._budget.each)
        self._budget.check(max(0, size - FREE_BYTES))

    def take(self, size: int) -> None:
        """Hold `size` bytes more. Raises BodyTooLarge, BodiesFull."""
        if self._size + size > self._budget.each:
            raise BodyTooLarge(self._budget.each)
        counted = max(0, self._size + size - FREE_BYTES) - self._counted
        self._budget.check(counted)
        self._budget.in_use += counted
        self._size += size

    def release(self) -> None:
        self._budget.in_use -= self._counted
        self._size = 0

    @property
    def _counted(self) -> int:
        return max(0, self._size - FREE_BYTES)


def share_of(scope: Scope) -> BodyShare:
    """The share of the request with this scope."""
    share = scope["state"][_KEY]
    if not isinstance(share, BodyShare):
        raise TypeError(type(share))
    return share
