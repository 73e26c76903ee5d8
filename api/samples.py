"""Where the sample documents are: examples/ here, api/examples/ in an installed wheel."""

from pathlib import Path

_HERE = Path(__file__).resolve().parent
SAMPLE = "sample.jsonl"


def sample_file() -> Path:
    """The sample documents, one JSON object a line; FileNotFoundError if they are not there."""
    for folder in (_HERE / "examples", _HERE.parent / "examples"):
        if (folder / SAMPLE).is_file():
            return folder / SAMPLE
    raise FileNotFoundError(f"the sample documents ({SAMPLE}) are missing from this installation")
