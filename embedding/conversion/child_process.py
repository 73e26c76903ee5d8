"""Work that needs torch's 700 MB and many seconds, in a child process that ends with it."""

import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import embedding
from embedding import errors

TIMEOUT_S = 3600
REBUILT = {  # from their message; ModelInvalid has more to carry over
    kind.__name__: kind for kind in (errors.CanaryMoved, errors.EncoderFailed, errors.ModelRefused)
}


def run(module: str, job: object, folder: Path) -> None:
    """Let `python -m MODULE FOLDER` fill the folder; the job is JSON on its stdin. Blocks.

    Raises what the child raised: CanaryMoved, ModelInvalid, ModelRefused, EncoderFailed.
    """
    try:
        child = _run(module, job, folder)
    except subprocess.TimeoutExpired as exc:
        raise errors.EncoderFailed(f"{module} was still running after {TIMEOUT_S} s") from exc
    if child.returncode != 0:
        raise _error(module, child)


def _run(module: str, job: object, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", module, str(folder)],
        # `-m` looks in the working directory first, so the child runs the same code.
        cwd=Path(embedding.__file__).parent.parent,
        input=json.dumps(job),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def serve(work: Callable[[Any, Path], None]) -> int:
    """The child's side of `run`: do the work; the last line on stderr says what went wrong."""
    from huggingface_hub import constants  # noqa: PLC0415

    constants.HF_HUB_OFFLINE = True
    warnings.simplefilter("ignore")
    try:
        work(json.load(sys.stdin), Path(sys.argv[1]))
    except errors.EmbeddingError as exc:
        report = {"kind": type(exc).__name__, "message": str(exc)}
        if isinstance(exc, errors.ModelInvalid):
            report |= {"file": str(exc.file), "reason": exc.reason}
        print(f"\n{json.dumps(report)}", file=sys.stderr)
        return 1
    return 0


def _error(module: str, child: "subprocess.CompletedProcess[str]") -> errors.EmbeddingError:
    last = (child.stderr.strip().splitlines() or ["no message"])[-1]
    try:
        report = json.loads(last)
        kind, message = report["kind"], report["message"]
    except (ValueError, TypeError, KeyError):
        kind, message = "", last
    if kind == errors.ModelInvalid.__name__:
        return errors.ModelInvalid(Path(report["file"]), report["reason"])
    if kind in REBUILT:
        return REBUILT[kind](message)
    return errors.EncoderFailed(f"{module} ended with status {child.returncode}: {message}")
