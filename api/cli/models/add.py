"""`vecmark models add`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from api.cli import errors, flags, formats, output, samples
from embedding.model_files import description, int8_graph
from embedding.registry import added

CALIBRATION_TEXTS = 300


@click.command()
@click.argument("source")
@click.option("--name", help="Name for the model.  [default: the directory's or the hub's]")
@click.option(
    "--precision",
    type=click.Choice(["float", "int8"]),
    default="float",
    help="Precision of the weights; each is a separate space.",
)
@click.option(
    "--calibrate",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Typical texts to calibrate int8 with: .txt with one per line, or .jsonl with `text`.",
)
@click.option(
    "--max-tokens",
    type=click.IntRange(3),
    help="Maximum tokens per text, including special tokens.",
)
@click.option("--query-prompt", help="Prefix for every query; empty means none.")
@click.option("--document-prompt", help="Prefix for every document; empty means none.")
@click.option("--dimensions", type=click.IntRange(1), help="Number of dimensions to keep.")
@flags.options(("data_dir",))
def add(
    source: str,
    name: str | None,
    calibrate: Path | None,
    data_dir: str | None,
    **model_options: Any,
) -> None:
    """Add a model from the hub or from a directory.

    SOURCE is ORG/NAME[@REVISION] on the hub, or a directory, which is copied: later changes to it
    don't affect the added model. The same model can be added again under another name, with int8 or
    with another limit or prompt.
    """
    settings = flags.load({"data_dir": data_dir})
    if calibrate is not None and model_options["precision"] != "int8":
        raise errors.Failure("--calibrate needs --precision int8")
    options = description.ModelOptions(**model_options)
    texts = None
    if options.precision == "int8":
        texts = _calibration_texts(source, calibrate)
    request = added.AddModel(source=source, name=name, options=options, calibration=texts)
    action = "Downloading" if request.hub_id else "Copying"
    if texts is not None:
        action += f" and quantising, calibrated with {output.count(len(texts), 'text')}:"
    output.line(f"{action} {source} ...", err=True)
    _report(added.add(request, settings.models_dir), request)


def _report(result: added.Added, request: added.AddModel) -> None:
    model = result.model
    output.line(f"{model.name} is {'' if result.new else 'already '}in {model.directory}")
    if model.int8 is not None:
        output.line(f"int8: {model.int8.describe()}")
    for warning in model.warnings:
        output.line(f"Warning: {warning}", err=True)
    name = model.name
    if request.hub_id and model.name == request.source:
        name = f"{request.hub_id[0]}@{model.revision}"
    output.line(f"Use it: vecmark collections create NAME --model {name}")
    output.line(f'or in requests: "model": "{name}". First use converts it (about 20 s).')


def _calibration_texts(source: str, file: Path | None) -> Sequence[str] | None:
    """The texts for int8; None if the source has its own int8 graph and no file is named."""
    if file is None and int8_graph.exists(Path(source).expanduser()):
        return None
    texts = _read_texts(file or samples.sample_file())
    if not texts:
        raise errors.Failure(f"{file}: contains no texts")
    # More texts don't make it better; evenly spaced ones represent a sorted file, too.
    step = max(1.0, len(texts) / CALIBRATION_TEXTS)
    return [texts[int(no * step)] for no in range(min(len(texts), CALIBRATION_TEXTS))]


def _read_texts(file: Path) -> list[str]:
    kind = file.suffix.lower()
    if kind == ".txt":
        try:
            lines = file.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise errors.Failure(f"{file}: not UTF-8 text ({error})") from error
        return [line for line in lines if line.strip()]
    if kind not in formats.LINES:
        raise errors.Failure(f"{file}: calibration texts must be a .txt or a .jsonl file")
    texts = []
    for record in formats.read(file, str(file), formats.Fields()):
        if record.document is None:
            raise errors.Failure(f"{record.place}: {record.error}")
        texts.append(str(record.document["text"]))
    return [text for text in texts if text.strip()]
