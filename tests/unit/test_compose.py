"""The container files, as far as they can be checked without an engine."""

import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from click.testing import CliRunner

from api import settings
from api.cli import main
from tests import databases

ROOT = Path(__file__).parents[2]
FILES = ["compose.yaml", ".env.example", "Dockerfile"]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
EXAMPLE = ROOT / "examples" / "app"
OURS = [name for name, service in SERVICES.items() if service["image"] == "vecmark"]


HEALTHCHECK = json.loads(re.findall(r"^HEALTHCHECK [^\[]*CMD (\[.*\])$", DOCKERFILE, re.M)[0])


def directive(name: str) -> list[str]:
    """The exec form of a directive of the Dockerfile."""
    return json.loads(re.findall(rf"^{name} (\[.*\])$", DOCKERFILE, re.M)[0])


@pytest.mark.parametrize("file", FILES)
def test_every_setting_exists(file):
    named = set(re.findall(r"\bVECMARK_[A-Z_]+\b", (ROOT / file).read_text()))
    assert named
    assert named <= {settings.variable(name) for name in settings.FIELDS}


def test_sample_of_the_env_file_is_accepted():
    lines = (ROOT / ".env.example").read_text().splitlines()
    pairs = [re.fullmatch(r'(?:# )?([A-Z_]+)="?(.*?)"?', line) for line in lines]
    environ = {pair[1]: pair[2] for pair in pairs if pair}
    chosen = settings.load(environ)
    assert chosen.document_prompt == "passage: "
    assert str(chosen.model_roots[0]) == "/models"


def test_env_file_holds_what_compose_asks_for():
    asked = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "compose.yaml").read_text()))
    assert asked
    for name in asked:
        assert re.search(rf"^{name}=.+$", (ROOT / ".env.example").read_text(), re.MULTILINE), name


def commands() -> list[list[str]]:
    in_compose = [SERVICES[name]["command"] for name in OURS]
    return [*in_compose, directive("CMD")]


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_parses(command):
    assert directive("ENTRYPOINT") == ["vecmark"]
    done = CliRunner().invoke(main.cli, [*command, "--help"])
    assert done.exit_code == 0, done.output
    refused = CliRunner().invoke(main.cli, [*command, "--no-such-flag", "--help"])
    assert refused.exit_code != 0


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_waits_for_the_health_of_what_it_needs(name):
    needs = SERVICES[name].get("depends_on", {})
    if name in OURS:
        assert "database" in needs
    for other, gate in needs.items():
        once = SERVICES[other].get("restart") == "no"
        expected = "service_completed_successfully" if once else "service_healthy"
        assert gate == {"condition": expected}
        checked = "healthcheck" in SERVICES[other] or SERVICES[other]["image"] == "vecmark"
        assert once or checked


def test_schema_is_upgraded_before_it_is_served():
    assert SERVICES["schema"]["command"] == ["db", "upgrade"]
    assert "schema" in SERVICES["api"]["depends_on"]


def test_somebody_does_the_work_that_the_service_leaves():
    assert SERVICES["api"]["command"] == ["serve", "--no-worker"]
    assert SERVICES["worker"]["command"] == ["worker"]
    # They share converted models.
    assert SERVICES["worker"]["volumes"] == SERVICES["api"]["volumes"]


def test_database_is_the_one_that_the_tests_use():
    database = SERVICES["database"]
    assert database["image"] == databases.IMAGE
    # Where images of PostgreSQL 18 keep their data; in another place it would not be kept.
    assert database["volumes"] == ["database:/var/lib/postgresql"]


def test_nothing_is_published_beyond_this_machine():
    for service in SERVICES.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_example_starts_only_when_asked_for():
    asked_for = {name: service.get("profiles", []) for name, service in SERVICES.items()}
    assert asked_for == {
        "database": [],
        "schema": [],
        "api": [],
        "worker": [],
        "app": ["example"],
    }
    assert not any("app" in service.get("depends_on", {}) for service in SERVICES.values())


def test_example_talks_to_the_service_once_it_is_ready():
    app = SERVICES["app"]
    url = urlsplit(app["environment"]["VECMARK_URL"])
    (published,) = SERVICES[url.hostname]["ports"]
    assert published.endswith(f":{url.port}")
    assert app["depends_on"] == {url.hostname: {"condition": "service_healthy"}}
    # It does its work once: with `always` it would do it for ever.
    assert app["restart"] == "no"


def test_example_is_built_from_what_is_there_and_not_run_by_root():
    assert ROOT / SERVICES["app"]["build"] == EXAMPLE
    dockerfile = (EXAMPLE / "Dockerfile").read_text()
    (copied, folder) = re.findall(r"^COPY (\S+) (\S+)$", dockerfile, re.MULTILINE)[0]
    assert (EXAMPLE / copied).is_file()
    assert json.loads(re.findall(r"^CMD (\[.*\])$", dockerfile, re.MULTILINE)[0]) == [
        "ruby",
        folder + copied,
    ]
    assert int(re.findall(r"^USER (\d+)$", dockerfile, re.MULTILINE)[-1]) > 0


def test_image_does_not_run_as_root():
    assert re.findall(r"^USER (\w+)$", DOCKERFILE, flags=re.MULTILINE)[-1] == "vecmark"


def test_image_copies_only_what_the_context_has():
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, flags=re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    assert names == kept
    assert all((ROOT / name).exists() for name in names)


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_health_check_tells_ready_from_not_ready(status, healthy):
    asked = []

    class Service(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Service) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        done = subprocess.run(
            [sys.executable, *HEALTHCHECK[1:]],
            env={"VECMARK_PORT": str(server.server_port)},
            capture_output=True,
            timeout=60,
            check=False,
        )
        server.shutdown()
        thread.join()
    assert asked == ["/readyz"]
    assert (done.returncode == 0) is healthy


def test_compose_itself_accepts_the_file(tmp_path):
    docker = shutil.which("docker")
    probe = [docker or "docker", "compose", "version"]
    if docker is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("docker compose is not installed")
    shutil.copy(ROOT / "compose.yaml", tmp_path)
    shutil.copy(ROOT / ".env.example", tmp_path / ".env")
    done = subprocess.run(
        [docker, "compose", "config", "--quiet"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
