"""Flags made from settings, and the help of every command."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from api import settings
from api.cli import collections, database, errors, flags, main, migrate, models

HEAVY = (
    "torch",
    "openvino",
    "litestar",
    "sqlalchemy",
    "alembic",
    "numpy",
    "uvicorn",
    "uvloop",
    "httpx",
    "rich",
)


def test_every_setting_is_a_flag_with_its_variable_in_the_help():
    shown = CliRunner().invoke(main.cli, ["serve", "--help"], terminal_width=100).output
    for name in flags.SERVE:
        assert f"--{name.replace('_', '-')} " in shown
        assert settings.variable(name) in " ".join(shown.split())


def test_flags_come_before_the_environment(monkeypatch):
    monkeypatch.setenv("VECMARK_PORT", "9000")
    assert flags.load({"port": "9001"}).port == 9001
    assert flags.load({"port": None}).port == 9000


def test_a_flag_that_can_not_be_used_is_named():
    with pytest.raises(errors.Failure, match="--port"):
        flags.load({"port": "many"})


def test_model_roots_are_separated_as_in_the_variable():
    assert flags.load({"model_roots": "/a:/b"}).model_roots == (Path("/a"), Path("/b"))


GROUPS = {
    (): main.cli,
    ("collections",): collections.collections,
    ("db",): database.db,
    ("migrate",): migrate.migrate,
    ("models",): models.models,
}
each_group = pytest.mark.parametrize("path", GROUPS, ids=lambda path: " ".join(path) or "vecmark")


@each_group
def test_the_help_of_a_group_imports_nothing_heavy(path):
    script = (
        "import sys\n"
        "from api.cli import main\n"
        "try:\n"
        f"    main.cli.main([*{path}, '--help'])\n"
        "except SystemExit:\n"
        "    pass\n"
        f"print(sorted(set(sys.modules) & set({HEAVY})))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"


def commands(group: click.Group, *path: str):
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield (*path, name)


@each_group
def test_the_help_of_a_group_is_that_of_each_command(path):
    group = GROUPS[path]
    for name, (_, line) in group.lazy.items():
        stub = click.Command(name, help=line)
        assert stub.get_short_help_str(300) == group.load(name).get_short_help_str(300)


@each_group
def test_the_help_of_a_group_is_not_cut_in_a_narrow_terminal(path):
    shown = CliRunner().invoke(main.cli, [*path, "--help"], terminal_width=80).output
    _, _, listed = shown.partition("Commands:\n")
    assert len(listed.splitlines()) == len(GROUPS[path].lazy)
    assert "..." not in listed


def test_every_group_is_lazy():
    lazy = {path[:-1] for path in commands(main.cli)}
    assert lazy == set(GROUPS)


@pytest.mark.parametrize("path", list(commands(main.cli)), ids=" ".join)
def test_every_command_explains_itself(path):
    done = CliRunner().invoke(main.cli, [*path, "--help"])
    assert done.exit_code == 0
    assert "Usage:" in done.output


def test_a_wrong_option_is_a_usage_error():
    assert CliRunner().invoke(main.cli, ["serve", "--prot", "1"]).exit_code == 2
