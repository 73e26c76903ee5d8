import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from api import settings
from api.cli import errors, flags, main

HEAVY = ("torch", "openvino", "litestar", "sqlalchemy", "uvicorn", "httpx", "rich")


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


def test_help_imports_nothing_heavy():
    script = (
        "import sys\n"
        "from api.cli import main\n"
        "try:\n"
        "    main.cli.main(['--help'])\n"
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


def test_the_help_of_the_group_is_that_of_each_command():
    context = click.Context(main.cli)
    for name, (_, line) in main.COMMANDS.items():
        command = main.cli.get_command(context, name)
        assert command is not None
        stub = click.Command(name, help=line)
        assert stub.get_short_help_str(300) == command.get_short_help_str(300)


@pytest.mark.parametrize("path", list(commands(main.cli)), ids=" ".join)
def test_every_command_explains_itself(path):
    done = CliRunner().invoke(main.cli, [*path, "--help"])
    assert done.exit_code == 0
    assert "Usage:" in done.output


def test_a_wrong_option_is_a_usage_error():
    assert CliRunner().invoke(main.cli, ["serve", "--prot", "1"]).exit_code == 2
