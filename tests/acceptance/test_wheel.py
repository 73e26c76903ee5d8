"""The wheel, installed and run outside the repository.

An editable install finds every file of the repository, packaged or not. This test finds files that
the wheel lacks.
"""

import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import databases

ROOT = Path(__file__).parents[2]
PACKAGES = ["api", "embedding", "host", "indexing", "migrations", "storage"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--no-index"]
    run([*pip, "--wheel-dir", str(folder), str(ROOT)])
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def outside(wheel) -> Iterator[Path]:
    """An environment with the wheel and our dependencies, but without the repository."""
    with databases.open_directory() as folder:
        run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")])
        python = folder / "venv" / "bin" / "python"
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-index"]
        run([*pip, "--no-deps", str(wheel)])
        # A line of a .pth file adds only the folder: .pth files inside it, like ours, are ignored.
        (site,) = (folder / "venv").glob("lib/python*/site-packages")
        (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
        yield folder


def run(command: list[str], **options) -> str:
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def run_outside(outside: Path, program: str, *arguments: str, **settings: str) -> str:
    return run(
        [str(outside / "venv" / "bin" / program), *arguments],
        cwd=outside,
        env={"PATH": "/usr/bin:/bin", "HOME": str(outside), "HF_HUB_OFFLINE": "1", **settings},
    )


def test_wheel_holds_every_file_of_the_packages(wheel):
    packaged = set(zipfile.ZipFile(wheel).namelist())
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file()]
    names = {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts}
    assert names <= packaged
    assert "migrations/script.py.mako" in names
    assert any(name.startswith("migrations/versions/0") for name in names)
    assert any(name.endswith(".html") for name in names)


def test_wheel_holds_the_samples_with_their_licence(wheel):
    packaged = {name for name in zipfile.ZipFile(wheel).namelist() if "/examples/" in name}
    assert packaged == {"api/examples/sample.jsonl", "api/examples/LICENSE-WordNet"}


def test_wheel_holds_nothing_else(wheel):
    top = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert top == {*PACKAGES, "vecmark-0.1.0.dist-info"}


def test_packages_come_from_the_wheel(outside):
    program = f"import {', '.join(PACKAGES)}; print(*(p.__file__ for p in ({', '.join(PACKAGES)})))"
    for file in run_outside(outside, "python", "-c", program).split():
        assert Path(file).is_relative_to(outside)


def test_samples_are_found(outside):
    program = "from api.cli import samples; print(samples.sample_file())"
    sample_file = Path(run_outside(outside, "python", "-c", program).strip())
    assert sample_file.is_relative_to(outside)
    assert sample_file.stat().st_size > 0


def test_help(outside):
    assert "Usage: vecmark" in run_outside(outside, "vecmark", "--help")


def test_schema_upgrade_and_check(outside, empty_database_url):
    """Alembic finds its scripts in the installed package, from any working directory."""
    settings = {"VECMARK_DATABASE_URL": empty_database_url}
    run_outside(outside, "vecmark", "db", "upgrade", **settings)
    run_outside(outside, "vecmark", "db", "current", **settings)
    run_outside(outside, "vecmark", "db", "check", **settings)


def test_embedded_database(outside):
    settings = {"VECMARK_DATA_DIR": str(outside / "data")}
    run_outside(outside, "vecmark", "db", "upgrade", **settings)
    run_outside(outside, "vecmark", "db", "check", **settings)
