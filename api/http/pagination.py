"""Opaque cursors of lists that are read page by page."""

import base64

from api.http import bodies

INVALID = "invalid; send the `next_cursor` of the previous page"


def encode_cursor(value: str) -> str:
    """The cursor after the last `value` of a page."""
    return base64.urlsafe_b64encode(value.encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None) -> str | None:
    """Raises BodyInvalid."""
    if cursor is None:
        return None
    try:
        value = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        bodies.check_text(value, "cursor")
        return value
    except ValueError as error:
        raise bodies.BodyInvalid(INVALID, field="cursor") from error
