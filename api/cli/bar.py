import time
from typing import Self

from rich import console, progress


class Bar:
    """A progress bar on a terminal: count, rate, time left."""

    def __init__(self, screen: console.Console, title: str, total: int | None) -> None:
        columns = [
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[rate]}"),
            progress.TimeRemainingColumn(compact=True),
        ]
        self.bar = progress.Progress(*columns, console=screen)
        self.task = self.bar.add_task(title, total=total, rate="")
        self.done, self.started = 0, time.monotonic()

    def advance(self, count: int = 1) -> None:
        self.done += count
        elapsed = time.monotonic() - self.started
        rate = f"{self.done / elapsed:,.0f}/s" if elapsed > 0.5 else ""
        self.bar.update(self.task, completed=self.done, rate=rate)

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()
