"""A migration in words: the lines of `status`, and the parts that the live view shows."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from api.cli import output

# States in which texts are still embedded or an index is built.
WORKING = frozenset({"planned", "backfilling", "building", "verifying", "cutting"})

# An index that was dropped as the migration ended.
GONE = "(dropped)"
WHY_SHOWN = 100
# The other gates are least values.
AT_MOST = frozenset({"ndcg_drop"})


def aligned(rows: Iterable[tuple[str, object]]) -> list[str]:
    """Labels and values as `collections show` has them, as wide as the longest label."""
    rows = list(rows)
    width = max((len(label) for label, _ in rows), default=0) + 1
    return [f"{label + ':':<{width}} {value}" for label, value in rows]


def describe(found: dict[str, Any]) -> list[str]:
    """All that `status` shows."""
    lines = aligned(_rows(found))
    if judged := gates(found):
        lines += ["gates:", *(f"  {line}" for line in judged)]
    return [*lines, *failed(found), "history:", *(f"  {line}" for line in history(found))]


def _rows(found: dict[str, Any]) -> list[tuple[str, object]]:
    state = found["state"]
    if found["resume_state"]:
        state += f" (goes on with {found['resume_state']})"
    shown = [
        ("migration", found["id"]),
        ("collection", found["collection"]),
        ("state", state),
        ("error", error(found)),
        ("next", found["next"]),
        ("waiting", found["waiting"]),
        ("from", side(found["source"])),
        ("to", side(found["target"])),
        ("documents", ", ".join([documents(found, noun=""), *troubles(found)])),
        ("chunks", ", ".join([f"{found['progress']['chunks_done']:,}", *speed(found)])),
        ("work", ", ".join(work(found))),
        ("build", build(found)),
        ("old index", lag(found)),
        ("kept until", found["lag"] and moment(found["retained_until"])),
        ("forced", found["options"]["forced"]),
    ]
    return [(label, value) for label, value in shown if value]


def side(part: dict[str, Any] | None) -> str:
    if part is None:
        return GONE
    loaded = "" if part["loaded"] else ", its model is not loaded"
    return f"{part['space']['model']}, index {part['index']}, {chunking(part['chunking'])}{loaded}"


def chunking(given: dict[str, Any]) -> str:
    """`chunking sentence, size 254, overlap 32`."""
    rest = "".join(f", {key} {given[key]}" for key in ("size", "overlap") if given.get(key))
    return f"chunking {given['strategy']}{rest if given['strategy'] != 'none' else ''}"


def ends(found: dict[str, Any]) -> tuple[str, str]:
    """What it goes from and to: the models, with one model the chunkings."""
    sides = found["source"], found["target"]
    if len({side["space"]["id"] for side in sides if side}) == 1 and all(sides):
        old, new = (chunking(side["chunking"]) for side in sides)
    else:
        old, new = (side["space"]["model"] if side else GONE for side in sides)
    return old, new


def documents(found: dict[str, Any], noun: str = " documents") -> str:
    """`420 of 1,000 documents (42 %)`."""
    progress = found["progress"]
    done, total = progress["documents_done"], progress["documents"]
    return f"{done:,} of {total:,}{noun} ({output.share(done, total)})"


def troubles(found: dict[str, Any]) -> list[str]:
    """Texts that were set aside, and writes that the new index still lacks."""
    progress = found["progress"]
    return [f"{progress[key]:,} {key}" for key in ("failed", "pending") if progress[key]]


def speed(found: dict[str, Any]) -> list[str]:
    """Chunks a second and the time left, while there are any."""
    progress = found["progress"]
    if found["state"] != "backfilling":
        return []
    rate, eta_s = progress["rate"], progress["eta_s"]
    parts = [] if rate is None else [output.rate(rate)]
    return parts if eta_s is None else [*parts, f"about {output.seconds(eta_s)} left"]


def work(found: dict[str, Any]) -> list[str]:
    """Who embeds just now, how fast it may be, and what searches feel of it."""
    progress, options = found["progress"], found["options"]
    parts = []
    if found["state"] == "backfilling":
        workers = progress["workers"]
        parts.append(output.count(workers, "worker") if workers else "no worker")
        if progress["pace"] is not None:
            parts.append(f"pace {output.share(progress['pace'], 1)}")
        if options["max_rate"] is not None:
            parts.append(f"at most {output.rate(options['max_rate'])}")
    if found["state"] in WORKING and progress["query_p95_ms"] is not None:
        bound = options["query_p95_ms"]
        yields = "" if bound is None else f" (slows down over {bound:g})"
        parts.append(f"query p95 {progress['query_p95_ms']:.1f} ms{yields}")
    return parts


def limits(found: dict[str, Any]) -> str:
    """How fast it may go."""
    rate, p95 = found["options"]["max_rate"], found["options"]["query_p95_ms"]
    speed = "as fast as it can" if rate is None else f"at most {output.rate(rate)}"
    return speed if p95 is None else f"{speed}, slower while query p95 is over {p95:g} ms"


def build(found: dict[str, Any]) -> str:
    part = found["progress"]["build"]
    return f"{part['phase']} {output.share(part['share'], 1)}" if part else ""


def lag(found: dict[str, Any]) -> str:
    """How far the index that is kept for a rollback is behind."""
    part = found["lag"]
    if part is None:
        return ""
    behind = [f"{part[key]:,} {key}" for key in ("pending", "failed") if part[key]]
    return f"behind: {', '.join(behind)}" if behind else "up to date"


def error(found: dict[str, Any]) -> str:
    """Why it doesn't go on, where its gates and texts don't say it already."""
    told = found["failed"] or (found["verdict"] and not found["verdict"]["passed"])
    return "" if found["state"] == "blocked" and told else found["error"] or ""


def gates(found: dict[str, Any]) -> list[str]:
    """A line for each gate of the verdict."""
    verdict = found["verdict"]
    return [_gate(gate) for gate in verdict["gates"]] if verdict else []


def _gate(gate: dict[str, Any]) -> str:
    mark = "passed" if gate["passed"] else "NOT PASSED"
    value = "not measured" if gate["value"] is None else f"{gate['value']:.4g}"
    bound = "at most" if gate["name"] in AT_MOST else "at least"
    detail = f": {gate['detail']}" if gate["detail"] else ""
    return f"{gate['name']} {value}, {bound} {gate['limit']:.4g}, {mark}{detail}"


def failed(found: dict[str, Any]) -> list[str]:
    """The texts that were set aside, as many as the service names."""
    texts: Sequence[dict[str, str]] = found["failed"]
    if not texts:
        return []
    total = max(found["progress"]["failed"], len(texts))
    more = [f"  ... and {total - len(texts):,} more"] if total > len(texts) else []
    shown = [f"  {text['id']}: {' '.join(text['reason'].split())}" for text in texts]
    return [f"{output.count(total, 'text')} failed:", *shown, *more]


def history(found: dict[str, Any]) -> list[str]:
    return [
        f"{moment(step['at'])}  {step['state']:<11}  {short(step['why'] or '')}".rstrip()
        for step in found["history"]
    ]


def short(text: str) -> str:
    """A reason in one line; the gates, the texts and the error are told in full elsewhere."""
    flat = " ".join(text.split())
    return flat if len(flat) <= WHY_SHOWN else flat[: WHY_SHOWN - 1].rstrip() + "…"


def moment(iso: str) -> str:
    """A time of the service in the time of this machine."""
    return datetime.fromisoformat(iso).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def line(found: dict[str, Any]) -> str:
    """How far it is, in one line."""
    parts = [documents(found), *troubles(found)]
    parts += [output.count(found["progress"]["chunks_done"], "chunk"), *speed(found)]
    if part := build(found):
        parts.append(part)
    if part := lag(found):
        parts.append(f"old index {part}")
    if found["waiting"]:
        parts.append(f"waits: {found['waiting']}")
    return f"{found['collection']} {found['state']}: {', '.join(parts)}"
