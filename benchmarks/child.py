"""Measurements that need a process of their own: a module run with a job on its stdin."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import benchmarks


class ChildFailed(RuntimeError):
    """The measurement ended with an error; the message holds the end of what it said."""


def ask(module: str, job: dict[str, Any]) -> Any:
    """The JSON value in the last line that `python -m module` prints."""
    done = subprocess.run(
        [sys.executable, "-m", module],
        cwd=Path(benchmarks.__file__).parent.parent,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=False,
        # As the service under test: Linux shares the CPUs between sessions first.
        start_new_session=True,
    )
    if done.returncode != 0 or not done.stdout.strip():
        said = "\n".join(done.stderr.splitlines()[-10:])
        raise ChildFailed(f"{module} ended with status {done.returncode}:\n{said}")
    return json.loads(done.stdout.splitlines()[-1])
