import click


class Failure(click.ClickException):
    """A command could not do its work: one readable message, exit code 1."""

    def show(self, file: object = None) -> None:
        click.echo(f"Error: {self.format_message()}", err=True)


def from_problem(status: int, problem: object) -> Failure:
    """The message of an RFC 9457 body: what happened, which field, what to do."""
    if not isinstance(problem, dict):
        return Failure(f"the service answered {status} without saying why")
    lines = [str(problem.get("detail") or problem.get("title") or f"HTTP status {status}")]
    for error in problem.get("errors") or ():
        if isinstance(error, dict):
            line = f"{error.get('field', '?')}: {error.get('detail', '')}"
            lines += [] if line in lines[0] else [f"  {line}"]
    return Failure("\n".join(lines))
