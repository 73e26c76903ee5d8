"""Rewords msgspec's validation errors as plain sentences that name the field."""

import re
from collections.abc import Callable

from storage import names

_AT = re.compile(r"^(?P<reason>.*) - at (?:`key` in )?`\$\.?(?P<field>.*)`$", re.DOTALL)
_TYPES = {
    "array": "a list",
    "bool": "true or false",
    "bytes": "base64",
    "float": "a number",
    "int": "a whole number",
    "null": "null",
    "object": "an object",
    "str": "text",
}
# Left out where every value is text: in variables, flags and query parameters.
NOT_TEXT = ", not text"
_BOUNDS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
_LENGTHS = {"array": "items", "bytes": "bytes", "object": "keys", "str": "characters"}
_PATTERNS = {
    f"^{names.COLLECTION_PATTERN}$(?!\\n)": (
        f"must match {names.COLLECTION_PATTERN}: lower-case letters, digits, _ and -, at most 63 "
        "characters, starting with a letter or digit"
    )
}


def split(message: str) -> tuple[str, str]:
    """The field that a `msgspec.ValidationError` is about ("" for the whole), and what is wrong."""
    at = _AT.match(message)
    return (at["field"], explain(at["reason"])) if at else ("", explain(message))


def explain(reason: str) -> str:
    """A plain sentence, to follow the name of the field."""
    for pattern, sentence in _SENTENCES:
        if match := pattern.fullmatch(reason):
            return sentence(match)
    return reason


def _types(types: str) -> str:
    """`str | null` as `text or null`."""
    return " or ".join(_TYPES.get(name, name) for name in types.split(" | "))


def _length(match: re.Match[str]) -> str:
    unit, bound, limit = _LENGTHS[match["type"]], match["bound"], int(match["limit"])
    if bound == ">=" and limit == 1:
        return "must not be empty"
    return f"must have {_BOUNDS[bound]} {limit:,} {unit if limit != 1 else unit[:-1]}"


def _pattern(match: re.Match[str]) -> str:
    pattern = match["pattern"].replace("\\\\", "\\")
    return _PATTERNS.get(pattern, f"must match {pattern}")


_Sentence = Callable[[re.Match[str]], str]
_SENTENCES: tuple[tuple[re.Pattern[str], _Sentence], ...] = (
    (
        re.compile(r"Expected `(?P<type>[^`]+)`, got `(?P<got>[^`]+)`"),
        lambda match: f"must be {_types(match['type'])}, not {_types(match['got'])}",
    ),
    (re.compile(r"Expected `(?P<type>[^`]+)` of length (?P<bound>[<>]=) (?P<limit>\d+)"), _length),
    (
        re.compile(r"Expected `[^`]+` (?P<bound>[<>]=?) (?P<limit>\S+)"),
        lambda match: f"must be {_BOUNDS[match['bound']]} {match['limit'].removesuffix('.0')}",
    ),
    (re.compile(r"Expected `str` matching regex '(?P<pattern>.*)'", re.DOTALL), _pattern),
    (re.compile(r"Expected `(?P<type>[^`]+)`"), lambda match: f"must be {_types(match['type'])}"),
    (
        re.compile(r"Object missing required field `(?P<name>.*)`"),
        lambda match: f"`{match['name']}` is missing",
    ),
    (
        re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL),
        lambda match: f"`{match['name']}` is not a known field",
    ),
    (
        re.compile(r"Invalid enum value (?P<value>.*)", re.DOTALL),
        lambda match: f"{match['value']} is not one of the accepted values",
    ),
    (re.compile(r"(Number|Integer value) out of range"), lambda _: "is a number out of range"),
    (re.compile(r"Invalid base64 encoded string"), lambda _: "is not valid base64"),
)
