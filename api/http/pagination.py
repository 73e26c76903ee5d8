import base64

from api.http import bodies


def cursor(value: str) -> str:
    """An opaque cursor for the last `value` of a page."""
    return base64.urlsafe_b64encode(value.encode()).decode().rstrip("=")


def from_cursor(given: str | None) -> str | None:
    """Raises BodyInvalid."""
    if given is None:
        return None
    try:
        found = base64.urlsafe_b64decode(given + "=" * (-len(given) % 4)).decode()
        bodies.check_text(found, "cursor")
        return found
    except ValueError as error:
        raise bodies.BodyInvalid(
            "this is no cursor of a former answer's `next_cursor`", field="cursor"
        ) from error
