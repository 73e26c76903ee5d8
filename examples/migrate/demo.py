"""A re-embed migration and its rollback before your eyes: `make demo-migrate`.

The sample documents move from the bundled model to WordLlama's and back, by the commands that are
printed. All of it lives in a data directory of its own.
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
    ("First, what it would take, measured on this machine:", "migrate plan --to wordllama"),
    ("A search before, in the space of the bundled model:", f"search '{QUERY}'"),
    ("The migration, while the service goes on answering:", "migrate start --to wordllama"),
    ("The same search, in the other space:", f"search '{QUERY}'"),
    ("What was found out before the cut-over:", "migrate report"),
    ("The old index is kept fresh, so there is a way back:", "migrate rollback"),
    ("And the search is what it was:", f"search '{QUERY}'"),
    ("All of it is written down:", "migrate status"),
)
REPORT_LINES = 40
# `migrate status` says so to scripts.
ROLLED_BACK = 5


def main() -> None:
    data = settings.Settings().data_dir.with_name("vecmark-demo")
    print(f"The demo keeps its data in {data}; delete it when you like.", flush=True)
    data.parent.mkdir(parents=True, exist_ok=True)
    program = service.program()
    environment = service.environment({}, data)
    added = data / "models" / MODEL
    if not added.exists():
        with folder(data) as source:
            models.wordllama_directory(source)
            run([program, "models", "add", str(source), "--name", MODEL], environment)
    with serving(program, data, environment) as url:
        for said, words in STEPS:
            print(f"\n\033[1m{said}\033[0m" if sys.stdout.isatty() else f"\n{said}")
            command = f"{words} --collection sample"
            print(f"$ vecmark {command}\n", flush=True)
            shown = REPORT_LINES if words == "migrate report" else None
            run([program, *shlex.split(command), "--url", url], environment, lines=shown)


@contextlib.contextmanager
def folder(data: Path) -> Iterator[Path]:
    """For the model's files until they are added."""
    made = data.with_name("vecmark-demo-model")
    try:
        yield made / MODEL
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextlib.contextmanager
def serving(program: str, data: Path, environment: dict[str, str]) -> Iterator[str]:
    """The service with the sample documents in it, for as long as the block runs."""
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
    """Show what it prints, or its first lines."""
    if lines is None:
        done = subprocess.run(command, env=environment, check=False)
    else:
        done = subprocess.run(command, env=environment, check=False, stdout=-1, text=True)
        said = done.stdout.splitlines()
        more = f"\n... and {len(said) - lines} lines more" if len(said) > lines else ""
        print("\n".join(said[:lines]) + more, flush=True)
    if done.returncode not in {0, ROLLED_BACK}:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
