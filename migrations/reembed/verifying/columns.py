"""Texts of anybody in the cells of a terminal: cleaned, measured and cut."""

import unicodedata

_CUT = "\u2026"


def clean(text: str) -> str:
    """In one line and without what a terminal would obey."""
    shown = (one if one.isprintable() else " " for one in text)
    return " ".join("".join(shown).split())


def width(text: str) -> int:
    """Cells that it takes: two for a wide character, none for one that joins the last."""
    return sum(map(_cells, text))


def fitted(text: str, cells: int) -> str:
    """Cleaned, and cut or filled up to exactly so many cells."""
    text = clean(text)
    if width(text) > cells:
        text = _beginning(text, cells - 1) + _CUT
    return text + " " * (cells - width(text))


def _beginning(text: str, cells: int) -> str:
    taken = 0
    for place, one in enumerate(text):
        taken += _cells(one)
        if taken > cells:
            return text[:place]
    return text


def _cells(one: str) -> int:
    if unicodedata.combining(one):
        return 0
    return 2 if unicodedata.east_asian_width(one) in "WF" else 1
