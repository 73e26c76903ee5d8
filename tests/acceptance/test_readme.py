"""The README and the docs are true: their commands run, their links and settings exist."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest

from api import settings
from api.cli import main
from tests import services

ROOT = services.ROOT
README = (ROOT / "README.md").read_text()
PAGES = [
    ROOT / "README.md",
    ROOT / "docs/models.md",
    ROOT / "docs/server.md",
    ROOT / "docs/migrations.md",
    ROOT / "docs/adopt.md",
]
SHELL = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)


def lines(block: str) -> list[str]:
    """The commands of a shell block, with continuation lines joined."""
    joined = block.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip()]


COMMANDS = [line for block in SHELL for line in lines(block)]
CURLS = [line for line in COMMANDS if line.startswith("curl")]
# Without commands that start a server or use an external one.
RUN = [
    line
    for block in SHELL
    if "vecmark add" in block
    for line in lines(block)
    if not line.startswith("vecmark doctor")
]


def test_the_readme_has_the_commands_a_new_user_needs():
    assert [line.split("#")[0].strip() for line in lines(SHELL[0])] == ["make run", "make test"]
    assert len(CURLS) == 4
    assert RUN


def test_the_commands_on_sample_documents_work(shared, tmp_path):
    for line in RUN:
        done = services.run(tmp_path, *shlex.split(line)[1:], url=shared.url)
        assert done.returncode == 0, (line, done.stderr)
    assert "words" in done.stdout or "space:" in done.stdout


def test_the_curl_commands_work(shared):
    indexed, searched, created, streamed = [curl(line, shared) for line in CURLS]
    assert json.loads(created)["name"] == "words"
    assert json.loads(indexed)["results"][0]["status"] in {"created", "unchanged"}
    response = json.loads(searched)
    [example] = map(json.loads, re.findall(r"```json\n(.*?)```", README, re.DOTALL))
    assert response.keys() == example.keys()
    assert response["results"][0].keys() == example["results"][0].keys()
    assert response["results"][0]["chunk"] == example["results"][0]["chunk"]
    assert response["results"][0]["score"] == pytest.approx(
        example["results"][0]["score"], abs=0.01
    )
    assert len(streamed.splitlines()) == 2000


def curl(line: str, service: services.Service) -> str:
    arguments = shlex.split(line.replace("http://127.0.0.1:8000", service.url))
    command = [*arguments, "--silent", "--show-error", "--fail-with-body", "--noproxy", "*"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_vecmark_command_parses(page):
    commands = re.findall(
        r"(?:^|`|/| {4})vecmark ([a-z]+)(?: ([a-z]+))?", page.read_text(), re.MULTILINE
    )
    assert commands
    for name, subcommand in commands:
        command = main.cli.get_command(click.Context(main.cli), name)
        assert command is not None, name
        if isinstance(command, click.Group):
            assert subcommand in command.list_commands(click.Context(command)), (name, subcommand)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_and_link_on_a_page_exists(page: Path):
    text = page.read_text()
    for variable in re.findall(r"VECMARK_[A-Z_]+", text):
        assert variable.removeprefix("VECMARK_").lower() in settings.FIELDS, variable
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (page.parent / target).exists(), target


def test_every_setting_is_documented():
    page = (ROOT / "docs/server.md").read_text()
    for name in settings.FIELDS:
        assert f"| `{settings.variable(name)}` |" in page


def test_every_make_target_exists():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make (run|test|install|bench|demo-migrate)\b", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_the_settings_table_describes_each_setting_as_the_help_does():
    page = (ROOT / "docs/server.md").read_text()
    serve = main.cli.get_command(click.Context(main.cli), "serve")
    assert serve is not None
    options = {
        option.name: option.help for option in serve.params if option.name in settings.FIELDS
    }
    assert set(settings.FIELDS) - options.keys() <= {"url"}
    for name, text in options.items():
        variable = settings.variable(name)
        [description] = re.findall(rf"^\| `{variable}` \|.*?\| (.*) \|$", page, re.MULTILINE)
        assert text == f"{description} [{variable}]"
