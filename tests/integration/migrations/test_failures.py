"""Texts that can't be embedded, failed gates and interrupted builds are reported, not hidden."""

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

# BERT's tokenizer removes zero-width spaces; WordLlama's has tokens for their bytes.
UNSEEN = "\u200b\u200b\u200b"
MINILM = "bundled"


async def test_a_text_that_the_target_cannot_embed_blocks_until_it_is_waived(service: Service):
    await write(service, {**texts(30), "odd": UNSEEN})
    old = await space(service)
    migration = await reach(service, await start(service, MINILM), "blocked")
    assert "1 of 31" in (migration.row.error or "")
    assert await space(service) == old
    failed = await sql(
        service, "SELECT error FROM pending WHERE index_id = :i", i=migration.target_index.id
    )
    assert len(failed) == 1
    assert "no-tokens" in str(failed[0][0])
    with pytest.raises(errors.CutoverBlocked, match="odd"):
        await service.commands.cut_over(migration, force=None, waive_failed=False)
    with pytest.raises(errors.CutoverBlocked, match="odd"):
        await service.commands.cut_over(migration, force="I know better", waive_failed=False)
    await service.commands.cut_over(migration, force=None, waive_failed=True)
    await reach(service, migration, "soaking")
    assert await space(service) != old


async def test_a_text_that_was_deleted_blocks_no_more(service: Service):
    await write(service, {**texts(30), "odd": UNSEEN})
    migration = await reach(service, await start(service, MINILM), "blocked")
    await service.indexer.remove("default", "odd")
    await service.commands.resume(migration)
    assert (await reach(service, migration, "soaking")).row.error is None


async def test_a_text_that_the_old_model_cannot_embed_does_not_block_writes(service: Service):
    """It stays pending and is shown; a rollback would lose it and says so."""
    await write(service, texts(10))
    first = await reach(service, await start(service, MINILM), "soaking")
    await service.commands.retire(first)
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
    started = await start(service, OTHER, gates=GateOptions(overlap=1.0))
    migration = await reach(service, started, "blocked")
    with pytest.raises(errors.CutoverBlocked, match="overlap"):
        await service.commands.cut_over(migration, force=None, waive_failed=False)
    assert await space(service) == old
    await service.commands.cut_over(migration, force="measured elsewhere", waive_failed=False)
    done = await reach(service, migration, "soaking")
    assert done.options.forced == "measured elsewhere"
    assert await space(service) != old


@pytest.fixture
async def small(opened: Open, roots: Path) -> AsyncIterator[Service]:
    """A service that builds HNSW indexes for few vectors."""
    options = {"hnsw_min_rows": 100, "target_recall": 0.95, "model_roots": [str(roots)]}
    async with opened(**options) as service:
        yield service


async def test_hnsw_is_built_before_the_cutover(small: Service):
    await write(small, texts(150))
    migration = await reach(small, await start(small, OTHER), "soaking")
    assert migration.target_index.hnsw == "ready"
    assert migration.target_index.recall is not None
    assert migration.target_index.recall >= 0.95
    answer = await small.searcher.by_text("default", "boat", SearchQuery())
    assert answer.nearest.path == "hnsw"


async def test_an_invalid_hnsw_index_is_found_and_built_again(small: Service):
    await write(small, texts(150))
    migration = await start(small, OTHER)
    name, table = hnsw.name(migration.target_index.id), migration.target_index.table
    async with small.engine.begin() as conn:
        await conn.execute(
            text(f"CREATE INDEX {name} ON {table} USING hnsw (embedding halfvec_cosine_ops)")
        )
        await conn.execute(
            text("UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass(:name)"),
            {"name": name},
        )
    done = await reach(small, migration, "soaking")
    assert done.target_index.hnsw == "ready"
    async with small.engine.connect() as conn:
        assert await hnsw.is_valid(conn, migration.target_index.id)
