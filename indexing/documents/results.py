"""The result of each document in a write."""

import dataclasses
from typing import Literal

Status = Literal["created", "updated", "unchanged", "superseded", "failed"]

# A text with a larger share of unknown tokens is stored with a warning.
UNKNOWN_SHARE = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class WriteResult:
    """One document's result; `cut`: only its start was embedded; `pending`: not yet searchable."""

    id: str | None
    status: Status
    version: int | None = None
    chunks: int | None = None
    tokens: int | None = None
    cut: bool = False
    pending: bool = False
    warnings: tuple[str, ...] = ()
    reason: str | None = None
    detail: str | None = None


def failed(id_: str | None, reason: str, detail: str) -> WriteResult:
    return WriteResult(id=id_, status="failed", reason=reason, detail=detail)


def unknown_warning(share: float, model_id: str) -> str:
    return (
        f"{share:.0%} of the tokens are unknown to {model_id}: the text may be in a language that "
        "the model was not trained for"
    )
