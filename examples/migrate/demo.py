"""Demonstrates a re-embed migration and its rollback: `make demo-migrate`.

The sample documents move from the bundled model to WordLlama and back, with the commands that are
printed. Everything is kept in its own data directory.
"""

import contextlib
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from api import settings
from benchmarks import models, service

QUERY = "a small animal that lives in water"
MODEL = "wordllama"
STEPS = (
    (
        "First, the plan: what it would take, measured on this machine:",
        "migrate plan --to wordllama",
    ),
    ("A search before the migration, in the bundled model's space:", f"search '{QUERY}'"),
    ("The migration, while the service keeps answering:", "migrate start --to wordllama"),
    ("The same search, now in the new space:", f"search '{QUERY}'"),
    ("What was verified before the cutover:", "migrate report"),
    ("The old index is kept up to date, so you can roll back:", "migrate rollback"),
    ("And the search is as it was before:", f"search '{QUERY}'"),
    ("All of it is recorded:", "migrate status"),
)
REPORT_LINES = 40
# Exit status of `migrate status` after a rollback.
ROLLED_BACK = 5


def main() -> None:
    data = settings.Settings().data_dir.with_name("vecmark-demo")
    print(f"The demo keeps its data in {data}; you can delete it at any time.", flush=True)
    data.parent.mkdir(parents=True, exist_ok=True)
    program = service.program()
    environment = service.environment({}, data)
    added = data / "models" / MODEL
    if not added.exists():
        with folder(data) as source:
            models.wordllama_directory(source)
            run([program, "models", "add", str(source), "--name", MODEL], environment)
    with serving(program, data, environment) as url:
        for title, arguments in STEPS:
            print(f"\n\033[1m{title}\033[0m" if sys.stdout.isatty() else f"\n{title}")
            command = f"{arguments} --collection sample"
            print(f"$ vecmark {command}\n", flush=True)
            lines = REPORT_LINES if arguments == "migrate report" else None
            run([program, *shlex.split(command), "--url", url], environment, lines=lines)


@contextlib.contextmanager
def folder(data: Path) -> Iterator[Path]:
    """A folder for the model's files, deleted once they are added."""
    parent = data.with_name("vecmark-demo-model")
    try:
        yield parent / MODEL
    finally:
        shutil.rmtree(parent, ignore_errors=True)


@contextlib.contextmanager
def serving(program: str, data: Path, environment: dict[str, str]) -> Iterator[str]:
    """Run the service with the sample documents; yield its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = data.with_name("vecmark-demo.log")
    print("Starting the service with 2,000 sample documents ...", flush=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, "serve", "--sample"],
            env={**environment, "VECMARK_PORT": str(port)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        while b"Ctrl+C stops" not in log.read_bytes():
            if process.poll() is not None:
                sys.exit(log.read_text(errors="replace"))
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def run(command: list[str], environment: dict[str, str], lines: int | None = None) -> None:
    """Run a command and show its output, or the first `lines` of it."""
    if lines is None:
        done = subprocess.run(command, env=environment, check=False)
    else:
        done = subprocess.run(command, env=environment, check=False, stdout=-1, text=True)
        output = done.stdout.splitlines()
        more = f"\n... and {len(output) - lines} more lines" if len(output) > lines else ""
        print("\n".join(output[:lines]) + more, flush=True)
    if done.returncode not in {0, ROLLED_BACK}:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
