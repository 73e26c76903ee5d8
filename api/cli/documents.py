import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from api import settings
from api.cli import errors, flags, formats, output
from storage.names import DEFAULT_COLLECTION


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="FILE|DIR|-...")
@click.option(
    "-c", "--collection", default=DEFAULT_COLLECTION, show_default=True, help="Where they go."
)
@click.option("--text-field", multiple=True, help="The field with the text; several are joined.")
@click.option("--id-field", help="The field with the id.  [default: id, else _id]")
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help="Ids of texts without one are their file's path from here.  [default: this directory]",
)
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@flags.options(flags.CONNECTION)
def add(
    *,
    sources: tuple[str, ...],
    collection: str,
    text_field: tuple[str, ...],
    id_field: str | None,
    root: Path,
    quiet: bool,
    **given: Any,
) -> None:
    """Add or update documents from JSON Lines, CSV, text and Markdown files.

    Interrupt it when you like and run it again: what is there already costs nothing.
    """
    chosen = flags.load(given)
    fields = formats.Fields(text_field, id_field)
    from api.cli import signals

    try:
        work = _add(chosen, sources, collection, fields, root=root, quiet=quiet)
        failed = signals.run(work)
    except signals.Interrupted as error:
        message = "interrupted; what was acknowledged is kept: run it again for the rest"
        raise errors.Failure(message) from error
    raise SystemExit(1 if failed else 0)


async def _add(
    chosen: settings.Settings,
    sources: Sequence[str],
    collection: str,
    fields: formats.Fields,
    *,
    root: Path,
    quiet: bool,
) -> int:
    from api.cli import client, progress, upload

    files = [None if name == "-" else path for name in sources for path in _files(name)]
    known = [formats.count(file) for file in files if file is not None]
    total = sum(known) if len(known) == len(files) else None
    if total == 0:
        _say_nothing(sources, files)
        return 0
    async with client.open_service(chosen, works=True) as service:
        if collection != DEFAULT_COLLECTION and await service.collection(collection) is None:
            await service.request("POST", "/v1/collections", json={"name": collection})
            output.line(f"Made the collection {collection}.", err=True)
        started = time.monotonic()
        bar = progress.show(f"Adding to {collection}", total, quiet=quiet)
        tally = await upload.upload(service, collection, _records(files, fields, root), bar)
        if tally.statuses:
            upload.report(tally, time.monotonic() - started)
        else:
            _say_nothing(sources, files)
    return tally.failed


def _say_nothing(sources: Sequence[str], files: Sequence[Path | None]) -> None:
    names = ", ".join("standard input" if name == "-" else name for name in sources)
    kinds = "" if files else f"; only {', '.join(sorted(formats.SUFFIXES))} files are read"
    output.line(f"Nothing to add: no document in {names}{kinds}.")


def _files(name: str) -> list[Path]:
    return [Path("-")] if name == "-" else formats.find(Path(name))


def _records(
    files: Sequence[Path | None], fields: formats.Fields, root: Path
) -> Iterator[formats.InputRecord]:
    for file in files:
        if file is None:
            yield from formats.read_stdin(fields)
        else:
            yield from formats.read(file, _name(file, root), fields)


def _name(file: Path, root: Path) -> str:
    """A file's path from `root`, else its absolute one: never the same for two files."""
    file, root = file.resolve(), root.resolve()
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else file.as_posix()
