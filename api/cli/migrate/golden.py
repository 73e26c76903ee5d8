"""Questions with the documents that answer them: what the quality of search is measured by."""

import json
import math
from pathlib import Path
from typing import Any

from api.cli import failure


def read(file: Path) -> list[dict[str, Any]]:
    """Lines of `{"q": ..., "relevant": {"id": gain} or ["id", ...]}`; Failure naming the line."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise failure.Failure(f"{file}: not UTF-8 text ({error})") from error
    found = [_read(line, f"{file}:{no}") for no, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise failure.Failure(f"{file}: holds no question")
    return found


def _read(line: str, place: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise failure.Failure(f"{place}: not JSON ({error})") from error
    question = value.get("q") if isinstance(value, dict) else None
    if not isinstance(question, str) or not question.strip():
        raise failure.Failure(f'{place}: no question; a line is {{"q": TEXT, "relevant": ...}}')
    return {"q": question, "relevant": _gains(value.get("relevant"), place)}


def _gains(relevant: object, place: str) -> dict[str, float]:
    if isinstance(relevant, list):
        relevant = {str(document): 1 for document in relevant}
    if not isinstance(relevant, dict) or not relevant:
        kinds = '{"id": gain} or ["id", ...]'
        raise failure.Failure(f"{place}: `relevant` must name documents, as {kinds}")
    for document, gain in relevant.items():
        number = isinstance(gain, int | float) and not isinstance(gain, bool)
        if not number or not math.isfinite(gain) or gain < 0:
            raise failure.Failure(f"{place}: the gain of {document} is no number from 0 up")
    return relevant
