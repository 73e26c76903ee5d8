"""A command group that imports a command's module only when that command runs."""

import importlib
from collections.abc import Mapping
from typing import Any

import click


class LazyGroup(click.Group):
    """click's documented pattern for lazy subcommands, with `--help` that imports none of them.

    `lazy` maps a command's name to its place, `module:attribute`, and to its line in the help:
    the first line of its docstring.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *self.lazy])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return self.load(cmd_name) if cmd_name in self.lazy else super().get_command(ctx, cmd_name)

    def load(self, name: str) -> click.Command:
        """Import the lazy command `name`."""
        module, _, attribute = self.lazy[name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{self.lazy[name][0]} is not a command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        limit = formatter.width - 6 - max(map(len, self.lazy))
        rows = []
        for name in self.list_commands(ctx):
            if name in self.lazy:
                stub = click.Command(name, help=self.lazy[name][1])
                rows.append((name, stub.get_short_help_str(limit)))
            elif (command := super().get_command(ctx, name)) and not command.hidden:
                rows.append((name, command.get_short_help_str(limit)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)
