from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from api.cli import errors, flags, output

if TYPE_CHECKING:
    from embedding.registry import added

CALIBRATION_TEXTS = 300


@click.command()
@click.argument("source")
@click.option("--name", help="What to call it.  [default: its folder's name, or the hub's]")
@click.option(
    "--precision", type=click.Choice(["float", "int8"]), default="float", help="Its own space each."
)
@click.option(
    "--calibrate",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Texts like those to embed, for int8: .txt, one a line, or .jsonl with `text`.",
)
@click.option("--max-tokens", type=click.IntRange(3), help="Its limit, special tokens included.")
@click.option("--query-prompt", help="Put before every query; empty means none.")
@click.option("--document-prompt", help="Put before every document; empty means none.")
@click.option("--dimensions", type=click.IntRange(1), help="How many are kept of each vector.")
@flags.options(("data_dir",))
def add(
    source: str,
    name: str | None,
    calibrate: Path | None,
    data_dir: str | None,
    **wishes: Any,
) -> None:
    """Add a model: ORG/NAME[@REVISION] of the hub, or a directory, which is copied.

    What was added keeps its space whatever happens to the source later. With int8, or another limit
    or prompt, the same model can be added again under another name.
    """
    chosen = flags.load({"data_dir": data_dir})
    if calibrate is not None and wishes["precision"] != "int8":
        raise errors.Failure("--calibrate is for --precision int8")
    from embedding.model_files import description
    from embedding.registry import added

    options = description.ModelOptions(**wishes)
    texts = None
    if options.precision == "int8":
        texts = _calibration(source, calibrate)
    request = added.AddModel(source=source, name=name, options=options, calibration=texts)
    doing = "Downloading" if request.hub_id else "Copying"
    if texts is not None:
        doing += f" and quantising, calibrated with {output.count(len(texts), 'text')}:"
    output.line(f"{doing} {source} ...", err=True)
    _tell(added.add(request, chosen.models_dir), request)


def _tell(result: "added.Added", request: "added.AddModel") -> None:
    model = result.model
    output.line(f"{model.name} is {'' if result.new else 'already '}in {model.directory}")
    if model.int8 is not None:
        output.line(f"int8: {model.int8.describe()}")
    for warning in model.warnings:
        output.line(f"Warning: {warning}", err=True)
    used = model.name
    if request.hub_id and model.name == request.source:
        used = f"{request.hub_id[0]}@{model.revision}"
    output.line(f"Use it: vecmark collections create NAME --model {used}")
    output.line(f'or in requests: "model": "{used}". The first use converts it: a while.')


def _calibration(source: str, given: Path | None) -> Sequence[str] | None:
    """The texts for int8; None where the source brings its graph and no text is given."""
    from api.cli import samples
    from embedding.model_files import int8_graph

    if given is None and int8_graph.exists(Path(source).expanduser()):
        return None
    texts = _texts(given or samples.sample_file())
    if not texts:
        raise errors.Failure(f"{given}: holds no text")
    # More don't make it better; from a sorted file not only its beginning is taken.
    step = max(1.0, len(texts) / CALIBRATION_TEXTS)
    return [texts[int(no * step)] for no in range(min(len(texts), CALIBRATION_TEXTS))]


def _texts(file: Path) -> list[str]:
    from api.cli import formats

    kind = file.suffix.lower()
    if kind == ".txt":
        try:
            lines = file.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise errors.Failure(f"{file}: not UTF-8 text ({error})") from error
        return [line for line in lines if line.strip()]
    if kind not in formats.LINES:
        raise errors.Failure(f"{file}: texts to calibrate with are a .txt or a .jsonl file")
    texts = []
    for record in formats.read(file, str(file), formats.Fields()):
        if record.document is None:
            raise errors.Failure(f"{record.place}: {record.error}")
        texts.append(str(record.document["text"]))
    return [text for text in texts if text.strip()]
