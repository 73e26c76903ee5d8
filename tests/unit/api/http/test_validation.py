"""A body that does not fit is answered in plain words, not in those of the JSON library."""

from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from api.http import bodies
from api.schemas.common import CollectionName


class Part(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    text: str
    tags: list[str] = []


class Body(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    name: CollectionName = "a"
    code: Annotated[str, Meta(pattern="^[A-Z]+$")] = "A"
    word: Annotated[str, Meta(min_length=3, max_length=5)] = "four"
    count: Annotated[int, Meta(ge=1, le=10)] = 1
    share: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    flag: bool = False
    kind: Literal["one", "two"] = "one"
    parts: Annotated[list[Part], Meta(min_length=1, max_length=2)] = msgspec.field(
        default_factory=list
    )
    options: dict[str, Any] | None = None
    keys: Annotated[dict[str, int], Meta(min_length=1)] = {}
    content: bytes = b""
    either: str | int = 1


CASES: list[tuple[str, str, str]] = [
    ("[]", "body", "must be an object, not a list"),
    ("null", "body", "must be an object, not null"),
    ('{"more": 1}', "body", "`more` is not a known field"),
    ('{"parts": [{}]}', "parts[0]", "`text` is missing"),
    ('{"parts": [{"text": 5}]}', "parts[0].text", "must be text, not a whole number"),
    ('{"parts": [{"text": "a", "tags": [null]}]}', "parts[0].tags[0]", "must be text, not null"),
    ('{"parts": []}', "parts", "must not be empty"),
    (
        '{"parts": [{"text": "a"}, {"text": "a"}, {"text": "a"}]}',
        "parts",
        "must have at most 2 items",
    ),
    (
        '{"name": "A b"}',
        "name",
        "must match [a-z0-9][a-z0-9_-]{0,62}: lower-case letters, digits, _ and -, at most 63"
        " characters, starting with a letter or digit",
    ),
    ('{"code": "a"}', "code", "must match ^[A-Z]+$"),
    ('{"word": "a"}', "word", "must have at least 3 characters"),
    ('{"word": "abcdef"}', "word", "must have at most 5 characters"),
    ('{"count": 0}', "count", "must be at least 1"),
    ('{"count": 11}', "count", "must be at most 10"),
    ('{"count": 1.5}', "count", "must be a whole number, not a number"),
    ('{"count": "1"}', "count", "must be a whole number, not text"),
    ('{"share": 0}', "share", "must be more than 0"),
    ('{"share": 1.0}', "share", "must be less than 1"),
    ('{"share": 1e400}', "share", "is a number out of range"),
    ('{"flag": "yes"}', "flag", "must be true or false, not text"),
    ('{"kind": "three"}', "kind", "'three' is not one of the accepted values"),
    ('{"options": 5}', "options", "must be an object or null, not a whole number"),
    ('{"keys": {}}', "keys", "must not be empty"),
    ('{"content": "?"}', "content", "is not valid base64"),
    ('{"either": true}', "either", "must be a whole number or text, not true or false"),
]


@pytest.mark.parametrize(("raw", "field", "reason"), CASES, ids=lambda value: value[:40])
def test_it_names_the_field_and_what_is_expected(raw: str, field: str, reason: str):
    with pytest.raises(bodies.BodyInvalid) as caught:
        bodies.decode(raw.encode(), Body)
    assert (caught.value.field, caught.value.reason) == (field, reason)


def test_what_is_not_json_is_called_so():
    with pytest.raises(bodies.BodyInvalid, match=r"^documents.0.: is not valid JSON: "):
        bodies.decode(b'{"text": ', Part, within="documents[0]")
