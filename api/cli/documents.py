"""`vecmark add` (and `index`): documents from files or standard input."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from api.cli import client, errors, flags, formats, output, progress, signals, upload
from api.settings import Settings
from storage.names import DEFAULT_COLLECTION


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="FILE|DIR|-...")
@flags.collection_option("Collection name.")
@click.option(
    "--text-field", multiple=True, help="Field that holds the text; repeat it to join several."
)
@click.option("--id-field", help="Field that holds the id.  [default: id, else _id]")
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help="Directory that ids made from file paths are relative to.  [default: the current one]",
)
@click.option("-q", "--quiet", is_flag=True, help="Don't show progress.")
@flags.options(flags.CONNECTION)
def add(
    *,
    sources: tuple[str, ...],
    collection: str,
    text_field: tuple[str, ...],
    id_field: str | None,
    root: Path,
    quiet: bool,
    **connection: Any,
) -> None:
    """Add or update documents from files or standard input.

    Reads JSON Lines, CSV, text and Markdown files; - reads JSON Lines from standard input. Records
    without an id are named after their file. You can interrupt the command and run it again:
    unchanged documents are skipped.
    """
    settings = flags.load(connection)
    fields = formats.Fields(text_field, id_field)
    try:
        work = _add(settings, sources, collection, fields, root=root, quiet=quiet)
        failed = signals.run(work)
    except signals.Interrupted as error:
        message = "interrupted; acknowledged documents are kept: run the command again for the rest"
        raise errors.Failure(message) from error
    raise SystemExit(1 if failed else 0)


async def _add(
    settings: Settings,
    sources: Sequence[str],
    collection: str,
    fields: formats.Fields,
    *,
    root: Path,
    quiet: bool,
) -> int:
    files = [None if name == "-" else path for name in sources for path in _files(name)]
    counts = [formats.count(file) for file in files if file is not None]
    total = sum(counts) if len(counts) == len(files) else None
    if total == 0:
        _report_nothing(sources, files)
        return 0
    async with client.open_service(settings, works=True) as service:
        if collection != DEFAULT_COLLECTION and await service.collection(collection) is None:
            await service.create_collection({"name": collection})
            output.line(f"Created the collection {collection}.", err=True)
        started = time.monotonic()
        bar = progress.show(f"Adding to {collection}", total, quiet=quiet)
        tally = await upload.upload(service, collection, _records(files, fields, root), bar)
        if tally.statuses:
            upload.report(tally, time.monotonic() - started)
        else:
            _report_nothing(sources, files)
    return tally.failed


def _report_nothing(sources: Sequence[str], files: Sequence[Path | None]) -> None:
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
    """A file's path from `root`, else its absolute path: never the same for two files."""
    file, root = file.resolve(), root.resolve()
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else file.as_posix()
