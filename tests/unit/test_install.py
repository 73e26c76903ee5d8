"""Messages of `make install` on unsupported machines, before anything is downloaded."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from api import platforms

ROOT = Path(__file__).parents[2]
GLIBC = ("glibc", "2.36")


@pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 13)])
def test_supported_python(version):
    assert platforms.python_problem(version) == ""


@pytest.mark.parametrize("version", [(3, 9), (3, 10), (3, 14)])
def test_unsupported_python_is_named(version):
    assert f"Python 3.{version[1]};" in platforms.python_problem(version)


@pytest.mark.parametrize(
    ("system", "machine", "libc"),
    [
        ("Linux", "x86_64", ("glibc", "2.28")),
        ("Linux", "aarch64", ("glibc", "2.35")),
        ("Darwin", "arm64", ("", "")),
    ],
)
def test_supported_machine(system, machine, libc):
    assert platforms.machine_problem(system, machine, libc) == ""


@pytest.mark.parametrize(
    ("system", "machine", "libc", "reason"),
    [
        ("Linux", "riscv64", GLIBC, "riscv64"),
        ("Linux", "x86_64", ("", ""), "Alpine"),
        ("Linux", "x86_64", ("glibc", "2.17"), "2.28 or newer"),
        ("Linux", "aarch64", ("glibc", "2.31"), "2.35 or newer"),
        ("Darwin", "x86_64", ("", ""), "Darwin on x86_64"),
        ("Windows", "AMD64", ("", ""), "Windows"),
    ],
)
def test_unsupported_machine_is_named(system, machine, libc, reason):
    assert reason in platforms.machine_problem(system, machine, libc)


def test_python_versions_match_the_package():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    newest = f"{platforms.NEWEST[0]}.{platforms.NEWEST[1] + 1}"
    assert project["requires-python"] == f">={platforms.OLDEST[0]}.{platforms.OLDEST[1]},<{newest}"


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """A PATH with what a bare system has, without Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "sed"):
        (folder / name).symlink_to(shutil.which(name) or name)
    return folder


def make_install(commands: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    venv = commands.parent / "venv"
    done = subprocess.run(
        [make, "install", f"VENV={venv}", *arguments],
        cwd=ROOT,
        env={"PATH": str(commands)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert not venv.exists()
    return done


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_no_python(commands):
    done = make_install(commands)
    assert "apt-get install python3" in done.stderr


def test_missing_python_is_named(commands):
    done = make_install(commands, "PYTHON=/no/such/python")
    assert "/no/such/python" in done.stderr


def test_old_python_is_named(commands):
    fake_python = (
        "import runpy, sys; sys.version_info = (3, 9, 2);"
        "runpy.run_path('api/platforms.py', run_name='__main__')"
    )
    script(commands / "python3", f'exec {os.path.realpath(sys.executable)} -c "{fake_python}"')
    done = make_install(commands)
    assert "python3: it is Python 3.9" in done.stderr


def test_python_without_venv(commands):
    script(
        commands / "python3",
        f'[ "$1" = -c ] && exit 1\nexec {os.path.realpath(sys.executable)} "$@"',
    )
    done = make_install(commands)
    assert "apt-get install python3-venv" in done.stderr
