"""The options of the `migrate` commands and the requests made from them."""

import json

import pytest
from click.testing import CliRunner

from api.cli import errors, main
from api.cli.migrate import start


def run(*arguments: str):
    return CliRunner().invoke(main.cli, ["migrate", *arguments])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("start",), "--to"),
        (("start", "--to", "m", "--gate", "speed=1"), "unknown gate 'speed'"),
        (("start", "--to", "m", "--gate", "recall"), "a number from 0 to 1"),
        (("start", "--to", "m", "--gate", "ndcg_drop=2"), "a number from -1 to 1"),
        (("start", "--to", "m", "--gate", "recall=nan"), "a number from 0 to 1"),
        (("start", "--to", "m", "--max-rate", "0"), "--max-rate"),
        (("set",), "give --max-rate, --query-p95 or both"),
        (("set", "--max-rate", "fast"), "neither a number above 0 nor none"),
        (("set", "--query-p95", "-1"), "neither a number above 0 nor none"),
        (("pause", "--all", "-c", "a"), "can't be combined with --collection"),
        (("plan", "--to", "m", "-c", "a", "-c", "b"), "only one at a time, not a and b"),
        (("pause", "--all", "0194-a"), "can't be combined with a migration's ID"),
        (("status", "--all", "--watch"), "can't be combined with --all"),
    ],
)
def test_wrong_usage_is_reported_before_anything_is_opened(arguments, message):
    done = run(*arguments)
    assert done.exit_code == 2
    assert message in done.output


def test_the_exit_codes_are_in_the_help():
    printed = run("--help").output
    for code in ("0 ", "1 ", "2 ", "3 ", "4 ", "5 ", "130"):
        assert f"\n    {code}" in printed


def test_only_given_options_are_sent():
    assert start.request_body(model="m") == {"model": "m"}
    assert start.request_body(model="m", chunk_size=100) == {
        "model": "m",
        "chunking": {"strategy": "sentence", "size": 100},
    }


def test_all_given_options_are_sent(tmp_path):
    file = tmp_path / "golden.jsonl"
    file.write_text('{"q": "fish", "relevant": ["a"]}\n')
    assert start.request_body(
        model="m",
        chunking="none",
        gates={"recall": 0.9},
        golden_file=file,
        manual=True,
        retain="7d",
        max_rate=start.Limit(50.0),
        query_p95=start.Limit(None),
        waive_failed=True,
    ) == {
        "model": "m",
        "chunking": {"strategy": "none"},
        "gates": {"recall": 0.9},
        "golden": [{"q": "fish", "relevant": {"a": 1}}],
        "manual": True,
        "retain": "7d",
        "max_rate": 50.0,
        "query_p95_ms": None,
        "waive_failed": True,
    }


def test_the_last_of_a_gate_given_twice_holds():
    context, option = start.start.make_context("start", ["--to", "m"]), start.start.params[0]
    assert start.parse_gates(context, option, ("recall=0.9", "recall=0.95")) == {"recall": 0.95}
    assert start.parse_limit(context, option, "none") == start.Limit(None)
    assert start.parse_limit(context, option, "12.5") == start.Limit(12.5)
    assert start.parse_limit(context, option, None) is None


def test_golden_questions_name_documents_with_or_without_a_gain(tmp_path):
    file = tmp_path / "golden.jsonl"
    lines = [{"q": "x", "relevant": {"a": 3, "b": 0.5}}, {"q": "y", "relevant": ["c", "d"]}]
    file.write_text("\n\n".join(json.dumps(line) for line in lines))
    assert start.read_golden(file) == [
        {"q": "x", "relevant": {"a": 3, "b": 0.5}},
        {"q": "y", "relevant": {"c": 1, "d": 1}},
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nothing", ":2: not JSON"),
        ('["q"]', ":2: no query"),
        ('{"q": " ", "relevant": ["a"]}', ":2: no query"),
        ('{"q": "x"}', ":2: `relevant` must name documents"),
        ('{"q": "x", "relevant": []}', ":2: `relevant` must name documents"),
        ('{"q": "x", "relevant": {"a": "much"}}', "the gain of a must be a number"),
        ('{"q": "x", "relevant": {"a": NaN}}', "the gain of a must be a number"),
        ('{"q": "x", "relevant": {"a": -1}}', "the gain of a must be a number"),
    ],
)
def test_an_invalid_golden_line_is_named(tmp_path, line, message):
    file = tmp_path / "golden.jsonl"
    file.write_text('{"q": "x", "relevant": ["a"]}\n' + line)
    with pytest.raises(errors.Failure) as caught:
        start.read_golden(file)
    assert message in caught.value.message


@pytest.mark.parametrize("content", [b"\n", b"\xff"])
def test_a_golden_file_without_questions_is_refused(tmp_path, content):
    file = tmp_path / "golden.jsonl"
    file.write_bytes(content)
    with pytest.raises(errors.Failure, match=r"golden\.jsonl"):
        start.read_golden(file)
