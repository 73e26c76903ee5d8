"""Runs a measurement in a separate process: a module that reads its job from stdin."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import benchmarks


class ChildFailed(RuntimeError):
    """The measurement failed; the message has the end of its stderr."""


@dataclass(frozen=True)
class Child:
    """A running `python -m module`."""

    module: str
    process: subprocess.Popen[str]
    stdout: IO[str]
    stderr: IO[str]

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def answer(self) -> Any:
        """Wait for it; the JSON value in the last line it printed. Raises ChildFailed."""
        status = self.process.wait()
        stdout, stderr = _lines(self.stdout), _lines(self.stderr)
        if status != 0 or not stdout:
            end = "\n".join(stderr[-10:])
            raise ChildFailed(f"{self.module} exited with status {status}:\n{end}")
        return json.loads(stdout[-1])


@contextlib.contextmanager
def started(module: str, job: dict[str, Any]) -> Iterator[Child]:
    """Start `module` with `job` on its stdin; kill it when the context is left."""
    # Files rather than pipes: nobody reads the output while it runs.
    with (
        tempfile.TemporaryFile("w+") as content,
        tempfile.TemporaryFile("w+") as stdout,
        tempfile.TemporaryFile("w+") as stderr,
    ):
        json.dump(job, content)
        content.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=Path(benchmarks.__file__).parent.parent,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            stdin=content,
            stdout=stdout,
            stderr=stderr,
            text=True,
            # A session of its own, like the service under test: Linux first divides the CPUs
            # between sessions.
            start_new_session=True,
        )
        try:
            yield Child(module, process, stdout, stderr)
        finally:
            process.kill()
            process.wait()


def ask(module: str, job: dict[str, Any]) -> Any:
    """Run `python -m module`; the JSON value in the last line it prints. Raises ChildFailed."""
    with started(module, job) as child:
        return child.answer()


def _lines(file: IO[str]) -> list[str]:
    file.seek(0)
    return file.read().splitlines()
