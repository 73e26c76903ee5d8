"""What makes another space and what doesn't: equal dimensions don't make vectors comparable."""

from pathlib import Path
from typing import Any

import pytest

from api.schemas.migrations import NewMigration, NotNeeded
from api.service import Service
from api.services import migrations
from embedding.canaries import texts as canary_texts
from embedding.model_files import description
from embedding.registry import added
from embedding.text.chunking import Chunking
from indexing.errors import SpaceMismatch
from indexing.searcher import SearchQuery
from migrations.reembed.migration import Migration
from tests import tiny
from tests.integration.conftest import write
from tests.integration.migrations.moving import NAME, lacking, reach, sql, start
from tests.integration.migrations.test_moving import space, texts


def add(
    service: Service,
    source: Path,
    name: str,
    calibration: tuple[str, ...] | None = None,
    **options: Any,
) -> str:
    """The same weights under another name, with other options."""
    request = added.AddModel(
        source=str(source),
        name=name,
        options=description.ModelOptions(**options),
        calibration=calibration,
    )
    added.add(request, service.settings.models_dir)
    return name


@pytest.mark.parametrize(
    "options",
    [{"max_tokens": 32}, {"document_prompt": "the text is about: "}],
    ids=lambda options: next(iter(options)),
)
async def test_equal_weights_and_dimensions_are_not_enough(
    service: Service, static_model: Path, options: dict[str, Any]
):
    """The dangerous case: no column type refuses these vectors, but they are not comparable."""
    await write(service, texts(40))
    old, _ = await space(service)
    name = add(service, static_model, "other", **options)
    await moves_and_never_mixes(service, name, old)


async def test_other_dimensions_in_both_directions(service: Service):
    await write(service, texts(30))
    up = await reach(service, await start(service, "bundled"), "soaking")
    assert (up.source_index.dimensions, up.target_index.dimensions) == (256, 384)
    await both_are_whole(service, up)
    await service.commands.retire(up)
    down = await reach(service, await start(service, service.settings.model), "soaking")
    assert (down.source_index.dimensions, down.target_index.dimensions) == (384, 256)
    await both_are_whole(service, down)
    assert await service.commands.roll_back(down, force=None) == 0
    assert await space(service) == (up.target_index.fingerprint, up.target_index.id)


async def test_int8_is_another_space_than_the_model_in_float(service: Service, tmp_path: Path):
    whole = tiny.directory(tmp_path / "whole")
    plain = add(service, whole, "plain", max_tokens=64)
    await service.catalog.delete(NAME)
    await service.create(NAME, plain, Chunking())
    await write(service, texts(40))
    old, _ = await space(service)
    calibration = canary_texts.NATURAL[:12]
    name = add(service, whole, "quantised", calibration, max_tokens=64, precision="int8")
    await moves_and_never_mixes(service, name, old)


async def moves_and_never_mixes(service: Service, name: str, old: str) -> None:
    migration = await reach(service, await start(service, name), "soaking")
    assert migration.target_index.dimensions == migration.source_index.dimensions
    assert migration.target_index.space_id != migration.source_index.space_id
    assert migration.target_index.fingerprint != old
    await both_are_whole(service, migration)
    with pytest.raises(SpaceMismatch):
        await service.searcher.by_text(NAME, "boat", SearchQuery(expect_space=old))


async def both_are_whole(service: Service, migration: Migration) -> None:
    """Including later writes; and each index has only vectors of its own space."""
    await write(
        service, {f"after-{migration.target_index.id}-{no}": text for no, text in texts(30).items()}
    )
    for index in (migration.source_index, migration.target_index):
        assert await sql(service, f"SELECT DISTINCT space_id FROM {index.table}") == [
            (index.space_id,)
        ]
        assert await lacking(service, index.id) == []


async def test_another_query_prompt_is_switched_at_once(service: Service, static_model: Path):
    await write(service, texts(40))
    before = await service.searcher.by_text(NAME, "lake", SearchQuery(exact=True))
    name = add(service, static_model, "asking", query_prompt="the question is: ")
    result = await migrations.start(service, NAME, NewMigration(model=name))
    assert isinstance(result, NotNeeded)
    assert result.change == "query-prompt"
    after = await service.searcher.by_text(NAME, "lake", SearchQuery(exact=True))
    assert after.collection.active == before.collection.active
    assert after.nearest.hits[0].score != before.nearest.hits[0].score
    # Nothing was embedded again, and the vectors are still the current ones.
    assert await sql(service, "SELECT count(*) FROM migrations") == [(0,)]
    assert await lacking(service, before.collection.active.id) == []
