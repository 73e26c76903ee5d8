"""The container files, as far as they can be checked without a container engine."""

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
OWN_SERVICES = [name for name, service in SERVICES.items() if service["image"] == "vecmark"]


HEALTHCHECK = json.loads(re.findall(r"^HEALTHCHECK [^\[]*CMD (\[.*\])$", DOCKERFILE, re.M)[0])


def directive(name: str) -> list[str]:
    """The exec form of a directive of the Dockerfile."""
    return json.loads(re.findall(rf"^{name} (\[.*\])$", DOCKERFILE, re.M)[0])


@pytest.mark.parametrize("file", FILES)
def test_every_setting_exists(file):
    variables = set(re.findall(r"\bVECMARK_[A-Z_]+\b", (ROOT / file).read_text()))
    assert variables
    assert variables <= {settings.variable(name) for name in settings.FIELDS}


def test_example_env_file_is_valid():
    lines = (ROOT / ".env.example").read_text().splitlines()
    pairs = [re.fullmatch(r'(?:# )?([A-Z_]+)="?(.*?)"?', line) for line in lines]
    environ = {pair[1]: pair[2] for pair in pairs if pair}
    loaded = settings.load(environ)
    assert loaded.document_prompt == "passage: "
    assert str(loaded.model_roots[0]) == "/models"


def test_example_env_file_has_every_variable_of_compose():
    variables = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "compose.yaml").read_text()))
    assert variables
    for name in variables:
        assert re.search(rf"^{name}=.+$", (ROOT / ".env.example").read_text(), re.MULTILINE), name


def commands() -> list[list[str]]:
    in_compose = [SERVICES[name]["command"] for name in OWN_SERVICES]
    return [*in_compose, directive("CMD")]


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_parses(command):
    assert directive("ENTRYPOINT") == ["vecmark"]
    with_help = CliRunner().invoke(main.cli, [*command, "--help"])
    assert with_help.exit_code == 0, with_help.output
    with_bad_flag = CliRunner().invoke(main.cli, [*command, "--no-such-flag", "--help"])
    assert with_bad_flag.exit_code != 0


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_waits_until_its_dependencies_are_healthy(name):
    dependencies = SERVICES[name].get("depends_on", {})
    if name in OWN_SERVICES:
        assert "database" in dependencies
    for other, condition in dependencies.items():
        runs_once = SERVICES[other].get("restart") == "no"
        expected = "service_completed_successfully" if runs_once else "service_healthy"
        assert condition == {"condition": expected}
        has_healthcheck = "healthcheck" in SERVICES[other] or SERVICES[other]["image"] == "vecmark"
        assert runs_once or has_healthcheck


def test_schema_is_upgraded_before_the_service_starts():
    assert SERVICES["schema"]["command"] == ["db", "upgrade"]
    assert "schema" in SERVICES["api"]["depends_on"]


def test_a_worker_does_the_work_that_the_service_does_not():
    assert SERVICES["api"]["command"] == ["serve", "--no-worker"]
    assert SERVICES["worker"]["command"] == ["worker"]
    # They share converted models.
    assert SERVICES["worker"]["volumes"] == SERVICES["api"]["volumes"]


def test_database_image_is_the_one_used_by_the_tests():
    database = SERVICES["database"]
    assert database["image"] == databases.IMAGE
    # PostgreSQL 18 images keep their data there; mounted elsewhere, it would be lost.
    assert database["volumes"] == ["database:/var/lib/postgresql"]


def test_nothing_is_published_beyond_this_machine():
    for service in SERVICES.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_example_starts_only_with_its_profile():
    profiles = {name: service.get("profiles", []) for name, service in SERVICES.items()}
    assert profiles == {
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
    # It runs once; with `always` it would repeat forever.
    assert app["restart"] == "no"


def test_example_is_built_from_existing_files_and_does_not_run_as_root():
    assert ROOT / SERVICES["app"]["build"] == EXAMPLE
    dockerfile = (EXAMPLE / "Dockerfile").read_text()
    (program, folder) = re.findall(r"^COPY (\S+) (\S+)$", dockerfile, re.MULTILINE)[0]
    assert (EXAMPLE / program).is_file()
    assert json.loads(re.findall(r"^CMD (\[.*\])$", dockerfile, re.MULTILINE)[0]) == [
        "ruby",
        folder + program,
    ]
    assert int(re.findall(r"^USER (\d+)$", dockerfile, re.MULTILINE)[-1]) > 0


def test_image_does_not_run_as_root():
    assert re.findall(r"^USER (\w+)$", DOCKERFILE, flags=re.MULTILINE)[-1] == "vecmark"


def test_image_copies_exactly_the_build_context():
    in_context = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"
    }
    sources = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, flags=re.MULTILINE)
    names = {name for line in sources for name in line.split()}
    assert names == in_context
    assert all((ROOT / name).exists() for name in names)


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_health_check_follows_readyz(status, healthy):
    paths = []

    class Service(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            paths.append(self.path)
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
    assert paths == ["/readyz"]
    assert (done.returncode == 0) is healthy


def test_docker_compose_accepts_the_file(tmp_path):
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
