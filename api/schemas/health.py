"""Health as it goes over the wire."""

from typing import Literal

from msgspec import Struct


class Health(Struct, frozen=True, kw_only=True):
    """The short form of readiness."""

    status: Literal["ok", "unavailable"]


class Readiness(Struct, frozen=True, kw_only=True):
    """`checks`: `ok` or the reason, for each part."""

    status: Literal["ok", "unavailable"]
    checks: dict[str, str]
    warnings: list[str]
