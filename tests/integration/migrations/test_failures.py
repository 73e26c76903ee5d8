"""Texts that the target can't take, gates that fail, builds that were cut off: told, not hidden."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from api.schemas.migrations import GateOptions
from api.service import Service
from indexing.searcher import SearchQuery
from migrations.reembed import errors
from storage import hnsw
from tests.integration.conftest import Open, write
from tests.integration.migrations.conftest import OTHER
from tests.integration.migrations.moving import look, reach, sql, start
from tests.integration.migrations.test_moving import space, texts

# BERT's tokenizer takes zero-width spaces away, WordLlama's has tokens for their bytes.
UNSEEN = "\u200b\u200b\u200b"
MINILM = "bundled"


async def test_a_text_that_the_target_can_not_take_blocks_until_it_is_waived(service: Service):
    await write(service, {**texts(30), "odd": UNSEEN})
    old = await space(service)
    moving = await reach(service, await start(service, MINILM), "blocked")
    assert "1 of 31" in (moving.row.error or "")
    assert await space(service) == old
    failed = await sql(
        service, "SELECT error FROM pending WHERE index_id = :i", i=moving.target_index.id
    )
    assert len(failed) == 1
    assert "no-tokens" in str(failed[0][0])
    with pytest.raises(errors.CutoverBlocked, match="odd"):
        await service.commands.cut_over(moving, force=None, waive_failed=False)
    with pytest.raises(errors.CutoverBlocked, match="odd"):
        await service.commands.cut_over(moving, force="I know better", waive_failed=False)
    await service.commands.cut_over(moving, force=None, waive_failed=True)
    await reach(service, moving, "soaking")
    assert await space(service) != old


async def test_a_text_that_was_deleted_blocks_no_more(service: Service):
    await write(service, {**texts(30), "odd": UNSEEN})
    moving = await reach(service, await start(service, MINILM), "blocked")
    await service.indexer.remove("default", "odd")
    await service.commands.resume(moving)
    assert (await reach(service, moving, "soaking")).row.error is None


async def test_what_the_old_model_can_not_take_does_not_hinder_writes(service: Service):
    """It stays pending and is shown; a rollback would lose it, and says so."""
    await write(service, texts(10))
    there = await reach(service, await start(service, MINILM), "soaking")
    await service.commands.retire(there)
    back = await reach(service, await start(service, service.settings.model), "soaking")
    (result,) = await write(service, {"odd": UNSEEN})
    assert (result.status, result.pending) == ("created", False)
    with pytest.raises(errors.RollbackRefused, match="odd"):
        await service.commands.roll_back(back, force=None)
    assert (await look(service, back.id)).state == "soaking"
    await service.commands.roll_back(back, force="it may go")
    state_changes = (await look(service, back.id)).row.history
    assert "it may go" in str(state_changes[-1]["why"])


async def test_a_gate_that_fails_blocks_and_force_is_recorded(service: Service):
    await write(service, texts(60))
    old = await space(service)
    wished = await start(service, OTHER, gates=GateOptions(overlap=1.0))
    moving = await reach(service, wished, "blocked")
    with pytest.raises(errors.CutoverBlocked, match="overlap"):
        await service.commands.cut_over(moving, force=None, waive_failed=False)
    assert await space(service) == old
    await service.commands.cut_over(moving, force="measured elsewhere", waive_failed=False)
    done = await reach(service, moving, "soaking")
    assert done.options.forced == "measured elsewhere"
    assert await space(service) != old


@pytest.fixture
async def small(opened: Open, roots: Path) -> AsyncIterator[Service]:
    """A service that builds HNSW for few vectors, and leaves all work to others at first."""
    wishes = {"hnsw_min_rows": 100, "target_recall": 0.95, "model_roots": [str(roots)]}
    async with opened(**wishes) as service:
        yield service


async def test_hnsw_is_built_before_the_cut_over(small: Service):
    await write(small, texts(150))
    moving = await reach(small, await start(small, OTHER), "soaking")
    assert moving.target_index.hnsw == "ready"
    assert moving.target_index.recall is not None
    assert moving.target_index.recall >= 0.95
    answer = await small.searcher.by_text("default", "boat", SearchQuery())
    assert answer.nearest.path == "hnsw"


async def test_an_invalid_leftover_is_found_and_built_again(small: Service):
    await write(small, texts(150))
    moving = await start(small, OTHER)
    async with small.engine.begin() as conn:
        await conn.execute(
            text(
                f"CREATE INDEX {hnsw.name(moving.target_index.id)} ON {moving.target_index.table}"
                " USING hnsw (embedding halfvec_cosine_ops)"
            )
        )
        await conn.execute(
            text("UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass(:name)"),
            {"name": hnsw.name(moving.target_index.id)},
        )
    done = await reach(small, moving, "soaking")
    assert done.target_index.hnsw == "ready"
    async with small.engine.connect() as conn:
        assert await hnsw.is_valid(conn, moving.target_index.id)
