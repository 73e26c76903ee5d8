"""Failures of a command: one readable message and an exit code."""

import msgspec
from click import ClickException, echo


class Failure(ClickException):
    """A command could not do its work: exit code 1. `problem_type`: the service's, if any."""

    def __init__(self, message: str, *, problem_type: str = "") -> None:
        super().__init__(message)
        self.problem_type = problem_type

    def show(self, file: object = None) -> None:
        echo(f"Error: {self.format_message()}", err=True)


class Unavailable(Failure):
    """The service doesn't answer, or with a 5xx, or something else does: it may be restarting."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class _FieldError(msgspec.Struct, frozen=True):
    field: str = "?"
    detail: str = ""


class _Problem(msgspec.Struct, frozen=True):
    """The parts of an RFC 9457 body that are shown to a person."""

    type: str | None = None
    title: str | None = None
    detail: str | None = None
    errors: tuple[_FieldError, ...] | None = None


def from_problem(status: int, content: bytes) -> Failure:
    """The message of an RFC 9457 body: what happened, in which field, and what to do."""
    try:
        problem = msgspec.json.decode(content, type=_Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        message = f"the service answered {status} without saying why"
        # Not an answer of the service's: a proxy gives 404 or 403 while the service restarts.
        return Unavailable(message, message)
    lines = [problem.detail or problem.title or f"HTTP status {status}"]
    for error in problem.errors or ():
        line = f"{error.field}: {error.detail}"
        lines += [] if line in lines[0] else [f"  {line}"]
    message = "\n".join(lines)
    if status >= 500:
        return Unavailable(message, message)
    return Failure(message, problem_type=problem.type or "")
