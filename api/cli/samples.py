"""The sample documents: added once, then shown by a search."""

import time
from pathlib import Path
from urllib.parse import quote

import msgspec

from api.cli import client, formats, output, progress, search, upload
from api.schemas import documents as document_schemas
from api.schemas import search as search_schemas

COLLECTION = "sample"
QUERY = "a small animal that lives in water"
RESULTS = 3
SAMPLE = "sample.jsonl"

_API = Path(__file__).resolve().parents[1]


async def show_sample(service: client.ServiceClient) -> None:
    """Add the sample documents if they are missing, then search them."""
    file = sample_file()
    if not await _is_added(service, file):
        await _add(service, file)
    path = f"{client.collection_path(COLLECTION)}/search"
    query = {"q": QUERY, "limit": RESULTS}
    answer = await service.request("GET", path, search_schemas.SearchResponse, params=query)
    output.line(f'\n{output.command()} search --collection {COLLECTION} "{QUERY}"\n')
    search.show_results(answer.value)
    output.line(f"\nSearch with your own words at {service.url}/  (Ctrl+C stops the service)")


async def _is_added(service: client.ServiceClient, file: Path) -> bool:
    """Whether the last document is there: a stream commits in order, so then all were added.

    Others that somebody has deleted since stay deleted; if the last one is missing, all are sent
    again.
    """
    if await service.collection(COLLECTION) is None:
        return False
    path = f"{client.collection_path(COLLECTION)}/documents/{quote(_last_id(file), safe='')}"
    return await service.find(path, document_schemas.Document) is not None


class _SampleDocument(msgspec.Struct, frozen=True):
    id: str


def _last_id(file: Path) -> str:
    *_, last = file.read_bytes().splitlines()
    return msgspec.json.decode(last, type=_SampleDocument).id


async def _add(service: client.ServiceClient, file: Path) -> None:
    await service.create_collection({"name": COLLECTION})
    started = time.monotonic()
    bar = progress.show("Adding the sample documents", formats.count(file))
    records = formats.read(file, file.name, formats.Fields())
    tally = await upload.upload(service, COLLECTION, records, bar)
    upload.report(tally, time.monotonic() - started)


def sample_file() -> Path:
    """The sample documents, one JSON object per line. Raises FileNotFoundError."""
    for folder in (_API / "examples", _API.parent / "examples"):
        if (folder / SAMPLE).is_file():
            return folder / SAMPLE
    raise FileNotFoundError(f"the sample documents ({SAMPLE}) are missing from this installation")
