"""The sample documents: put in once, then shown by a search."""

import json
import time
from pathlib import Path

from api.cli import client, formats, output, progress, search, upload

COLLECTION = "sample"
QUERY = "a small animal that lives in water"
SHOWN = 3


async def show_sample(service: client.ServiceClient) -> None:
    """Index the sample where it isn't, then search in it."""
    file = sample_file()
    if not await _is_there(service, file):
        await _index(service, file)
    path = f"{client.collection_path(COLLECTION)}/search"
    found = await service.request("GET", path, params={"q": QUERY, "limit": SHOWN})
    output.line(f'\n{output.command()} search --collection {COLLECTION} "{QUERY}"\n')
    search.show_hits(found)
    output.line(f"\nTry your own words on {service.url}/  (Ctrl+C stops the service)")


async def _is_there(service: client.ServiceClient, file: Path) -> bool:
    """Whether its last document is in: a stream commits in order, so then those before it were.

    Others that somebody has deleted since stay deleted; without the last one all are sent again.
    """
    if await service.collection(COLLECTION) is None:
        return False
    return await service.has_document(COLLECTION, _last_id(file))


def _last_id(file: Path) -> str:
    *_, last = file.read_text(encoding="utf-8").splitlines()
    return str(json.loads(last)["id"])


async def _index(service: client.ServiceClient, file: Path) -> None:
    await service.request("POST", "/v1/collections", json={"name": COLLECTION})
    started = time.monotonic()
    bar = progress.show("Adding the sample documents", formats.count(file))
    records = formats.read(file, file.name, formats.Fields())
    tally = await upload.upload(service, COLLECTION, records, bar)
    upload.report(tally, time.monotonic() - started)


_API = Path(__file__).resolve().parents[1]
SAMPLE = "sample.jsonl"


def sample_file() -> Path:
    """The sample documents, one JSON object a line; FileNotFoundError if they are not there."""
    for folder in (_API / "examples", _API.parent / "examples"):
        if (folder / SAMPLE).is_file():
            return folder / SAMPLE
    raise FileNotFoundError(f"the sample documents ({SAMPLE}) are missing from this installation")
