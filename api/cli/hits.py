from typing import Any

from api.cli import output

TEXT_SHOWN = 300


def show(found: dict[str, Any]) -> None:
    """The results of a search as a table, best first."""
    rows = [
        (f"{result['score']:.3f}", result["id"], _text(result["chunk"]["text"]))
        for result in found["results"]
    ]
    if not rows:
        output.line("Nothing found.")
        return
    output.table(("score", "id", "text"), rows, wide="text")


def _text(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= TEXT_SHOWN else flat[: TEXT_SHOWN - 1].rstrip() + "…"
