"""What a migration was asked to do, as it is kept with it."""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

RETAIN_S = 24 * 3600.0
RECALL = 0.98
# Above it live searches are slow to a person; an idle machine answers in 10 to 20 ms.
QUERY_P95_MS = 100.0


class Gates(Struct, frozen=True, kw_only=True):
    """What the target must reach: `recall` always, the others where given; coverage is always 1.

    `ndcg_drop`: nDCG@10 of the source less that of the target, at most. `overlap`: mean share of
    the ten nearest that both find, at least.
    """

    recall: float = RECALL
    ndcg_drop: float | None = None
    overlap: float | None = None


class Options(Struct, frozen=True, kw_only=True):
    """`max_rate` in chunks a second; `query_p95_ms`: above it the backfill slows down.

    `waive_failed`: texts that can't be embedded don't block; `forced`: why gates were overruled.
    """

    gates: Gates = Gates()
    manual: bool = False
    retain_s: float = RETAIN_S
    max_rate: float | None = None
    query_p95_ms: float | None = QUERY_P95_MS
    waive_failed: bool = False
    forced: str | None = None

    @classmethod
    def of(cls, stored: Mapping[str, object]) -> "Options":
        return msgspec.convert(stored, cls)

    def stored(self) -> dict[str, object]:
        built: dict[str, object] = msgspec.to_builtins(self)
        return built
