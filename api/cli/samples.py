"""The sample documents: put in once, then shown by a search."""

import json
import time
from pathlib import Path

from api import samples
from api.cli import client, formats, hits, loading, output, progress

COLLECTION = "sample"
QUERY = "a small animal that lives in water"
SHOWN = 3


async def show(service: client.Service) -> None:
    """Index the sample where it isn't, then search in it."""
    file = samples.sample_file()
    if not await _is_there(service, file):
        await _index(service, file)
    path = f"{client.collection_path(COLLECTION)}/search"
    found = await service.request("GET", path, params={"q": QUERY, "limit": SHOWN})
    output.line(f'\n{output.command()} search --collection {COLLECTION} "{QUERY}"\n')
    hits.show(found)
    output.line(f"\nTry your own words on {service.url}/  (Ctrl+C stops the service)")


async def _is_there(service: client.Service, file: Path) -> bool:
    """Whether its last document is in: a stream commits in order, so then those before it were.

    Others that somebody has deleted since stay deleted; without the last one all are sent again.
    """
    if await service.collection(COLLECTION) is None:
        return False
    return await service.has_document(COLLECTION, _last_id(file))


def _last_id(file: Path) -> str:
    *_, last = file.read_text(encoding="utf-8").splitlines()
    return str(json.loads(last)["id"])


async def _index(service: client.Service, file: Path) -> None:
    await service.request("POST", "/v1/collections", json={"name": COLLECTION})
    started = time.monotonic()
    bar = progress.show("Adding the sample documents", formats.count(file))
    records = formats.read(file, file.name, formats.Fields())
    tally = await loading.load(service, COLLECTION, records, bar)
    loading.report(tally, time.monotonic() - started)
