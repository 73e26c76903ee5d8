"""Measurements that need a process of their own: a module run with a job on its stdin."""

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
    """The measurement ended with an error; the message holds the end of what it said."""


@dataclass(frozen=True)
class Child:
    """`python -m module` at its job."""

    module: str
    process: subprocess.Popen[str]
    said: IO[str]
    complained: IO[str]

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def answer(self) -> Any:
        """The JSON value in the last line that it prints, once it is done; ChildFailed."""
        status = self.process.wait()
        said, complained = _lines(self.said), _lines(self.complained)
        if status != 0 or not said:
            end = "\n".join(complained[-10:])
            raise ChildFailed(f"{self.module} ended with status {status}:\n{end}")
        return json.loads(said[-1])


@contextlib.contextmanager
def started(module: str, job: dict[str, Any]) -> Iterator[Child]:
    """It runs beside this process, and no longer than the context."""
    # Files, not pipes: nobody reads while it runs.
    with (
        tempfile.TemporaryFile("w+") as content,
        tempfile.TemporaryFile("w+") as said,
        tempfile.TemporaryFile("w+") as complained,
    ):
        json.dump(job, content)
        content.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=Path(benchmarks.__file__).parent.parent,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            stdin=content,
            stdout=said,
            stderr=complained,
            text=True,
            # As the service under test: Linux shares the CPUs between sessions first.
            start_new_session=True,
        )
        try:
            yield Child(module, process, said, complained)
        finally:
            process.kill()
            process.wait()


def ask(module: str, job: dict[str, Any]) -> Any:
    """The JSON value in the last line that `python -m module` prints."""
    with started(module, job) as asked:
        return asked.answer()


def _lines(file: IO[str]) -> list[str]:
    file.seek(0)
    return file.read().splitlines()
