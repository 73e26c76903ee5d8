import asyncio
from typing import Any

import click

from api.cli import flags, output

MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


@click.command()
@flags.options((*flags.SERVE, "url"))
def doctor(**given: Any) -> None:
    """Check all that a service needs, and say what to do about what is missing."""
    from api.cli import checks

    worst = False
    for finding in asyncio.run(checks.run(flags.load(given))):
        output.line(f"{MARKS[finding.level]}  {finding.subject}: {finding.message}")
        if finding.advice:
            output.line(f"      -> {finding.advice}")
        worst |= finding.level == "fail"
    raise SystemExit(1 if worst else 0)
