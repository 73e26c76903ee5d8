"""A report as a page for a terminal of 100 columns."""

import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from api.schemas.reports import (
    ChangedQuery,
    Gate,
    Latency,
    Report,
    ShownResult,
    Translation,
)

_WIDTH = 100
_LABEL = 14
_COLUMN = (_WIDTH - 3) // 2
# The gates that say how good the results are; the others say that the index is complete.
_QUALITY_GATES = {"ndcg_drop", "overlap"}


def render(title: str, report: Report) -> str:
    parts = [
        [clean(title), "=" * _WIDTH],
        _verdict(report),
        _facts(report),
        ["Translation of score thresholds", *_translation(report)],
        ["Queries that changed most", *_changed(report)],
    ]
    measured = f"Measured at {report.created_at:%Y-%m-%d %H:%M:%S %Z}".rstrip()
    lines = [line.rstrip() for part in [*parts, [measured]] for line in (*part, "")]
    return "\n".join(lines)


def _verdict(report: Report) -> list[str]:
    gates = report.verdict.gates
    failed = [gate.name for gate in gates if not gate.passed]
    if failed:
        outcome = f"NOT PASSED: {', '.join(failed)}"
    elif _QUALITY_GATES.isdisjoint(gate.name for gate in gates):
        why = "no golden queries" if report.ndcg is None else "no gate was set for it"
        outcome = f"complete; quality was not judged ({why})"
    else:
        outcome = "PASSED"
    return [f"Verdict: {outcome}", *(line for gate in gates for line in _gate(gate))]


def _gate(gate: Gate) -> list[str]:
    at = "at most" if gate.name == "ndcg_drop" else "at least"
    value = "unknown" if gate.value is None else f"{gate.value:.4f}"
    mark = "pass" if gate.passed else "FAIL"
    head = f"  {mark}  {gate.name:<10} {value:>8}  ({at} {gate.limit:g})"
    return [head, *_wrapped(gate.detail, indent=8)]


def _facts(report: Report) -> list[str]:
    facts = {
        "Coverage": _coverage(report),
        "Queries": _queries(report),
        "Recall@10": _recall(report),
        "Overlap@10": _overlap(report),
        "nDCG@10": _ndcg(report),
        "Latency, old": _latency(report, report.latency.old),
        "Latency, new": _latency(report, report.latency.new),
    }
    lines = [line for label, fact in facts.items() for line in _fact(label, fact)]
    # These reasons are shown in place of the figures.
    inline = {"overlap", "ndcg", "ndcg.old", "latency.old", "translation"}
    notes = [fact for name, fact in report.unavailable.items() if name not in inline]
    return lines + [line for note in notes for line in _fact("Note", note)]


def _fact(label: str, fact: str) -> list[str]:
    first, *more = textwrap.wrap(clean(fact), _WIDTH - _LABEL) or [""]
    return [f"{label:<{_LABEL}}{first}", *(" " * _LABEL + line for line in more)]


def _coverage(report: Report) -> str:
    coverage = report.coverage
    return (
        f"{coverage.documents:,} documents, {coverage.missing:,} without vectors of their current"
        f" text, {coverage.waived:,} of them waived, {coverage.waiting:,} just written"
    )


def _queries(report: Report) -> str:
    queries = report.queries
    if queries.source == "searches":
        return f"{queries.count:,}, mostly recent searches"
    return f"{queries.count:,}, mostly sentences of documents (easier to find)"


def _recall(report: Report) -> str:
    recall = report.recall
    if recall.path == "exact":
        return "1: searches are exact"
    if not recall.queries:
        return "not available: there are no queries to measure it with"
    return f"{recall.value:.4f} by HNSW at ef_search {recall.ef_search}, {recall.queries:,} queries"


def _overlap(report: Report) -> str:
    overlap = report.overlap
    if overlap is None:
        return _why(report, "overlap")
    return f"{overlap.mean:.4f}; a document found by both moved by {overlap.rank_shift:.1f} places"


def _ndcg(report: Report) -> str:
    ndcg = report.ndcg
    if ndcg is None:
        return _why(report, "ndcg")
    over = f"over {ndcg.queries:,} golden queries"
    if ndcg.old is None or ndcg.drop is None:
        return f"new {ndcg.new:.4f} {over}; old {_why(report, 'ndcg.old')}"
    return f"old {ndcg.old:.4f}, new {ndcg.new:.4f}: drop {ndcg.drop:+.4f} {over}"


def _latency(report: Report, latency: Latency | None) -> str:
    if latency is None:
        return _why(report, "latency.old")
    return f"p50 {latency.p50_ms:.1f} ms, p95 {latency.p95_ms:.1f} ms, encoding and searching"


def _why(report: Report, name: str) -> str:
    return report.unavailable.get(name, "not available")


def _translation(report: Report) -> list[str]:
    translation = report.translation
    if translation is None:
        return _wrapped(_why(report, "translation"), indent=2)
    return [*_table(translation), *_wrapped(_meaning(translation), indent=2)]


def _table(translation: Translation) -> Iterator[str]:
    yield "  old threshold   new threshold   give or take"
    for point in translation.points:
        yield f"  {point.old:>13.4f}   {point.new:>13.4f}   {point.error:>12.4f}"


def _meaning(translation: Translation) -> str:
    return (
        f"Of {translation.pairs:,} pairs of a query and a document, as many pass the new threshold"
        f" as the old one. Of those that pass either, {translation.disagreement:.1%} pass only one"
        " (measured with queries that the thresholds were not computed from)."
    )


def _changed(report: Report) -> list[str]:
    if report.overlap is None:
        return _wrapped(_why(report, "overlap"), indent=2)
    if not report.most_changed:
        return ["  none: both spaces find the same documents in the same order"]
    numbered = enumerate(report.most_changed, start=1)
    return [line for no, changed in numbered for line in _side_by_side(no, changed)]


def _side_by_side(no: int, changed: ChangedQuery) -> list[str]:
    share = f"overlap {changed.overlap:.2f}"
    head = fitted(f"{no:>2}. {changed.q}", _WIDTH - len(share) - 2)
    lines = ["", f"{head}  {share}", _row("old", "new")]
    for pair in zip_longest(changed.old, changed.new):
        lines += [_row(*part) for part in zip(*map(_cells, pair), strict=True)]
    return lines


def _row(old: str, new: str) -> str:
    return f"{fitted(old, _COLUMN)} | {fitted(new, _COLUMN)}"


def _cells(result: ShownResult | None) -> Sequence[str]:
    return ("", "") if result is None else (f"{result.score:.3f} {result.id}", result.text)


def _wrapped(text: str, *, indent: int) -> list[str]:
    space = " " * indent
    return textwrap.wrap(clean(text), _WIDTH, initial_indent=space, subsequent_indent=space)


_CUT = "\u2026"


def clean(text: str) -> str:
    """On one line, without control characters."""
    printable = (character if character.isprintable() else " " for character in text)
    return " ".join("".join(printable).split())


def width(text: str) -> int:
    """Terminal cells of a text: two for a wide character, none for a combining one."""
    return sum(map(_char_width, text))


def fitted(text: str, cells: int) -> str:
    """Cleaned, and cut or padded to exactly `cells` cells."""
    text = clean(text)
    if width(text) > cells:
        text = _beginning(text, cells - 1) + _CUT
    return text + " " * (cells - width(text))


def _beginning(text: str, cells: int) -> str:
    taken = 0
    for place, character in enumerate(text):
        taken += _char_width(character)
        if taken > cells:
            return text[:place]
    return text


def _char_width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
