"""The steps of a migration: what a worker does in each state, as far as it can go alone."""

import asyncio
from collections.abc import Awaitable, Callable

from sqlalchemy.ext.asyncio import AsyncEngine

from embedding.scheduling.queue import Urgency
from indexing import retries
from indexing.documents.backlog import Backlog
from indexing.errors import first
from indexing.models.pool import ModelPool
from indexing.replica import Replica
from migrations.reembed import backfill, cutover, errors, states
from migrations.reembed import migration as reembed
from migrations.reembed.backfill import Backfill
from migrations.reembed.building import TargetBuilder
from migrations.reembed.leadership import Leader
from migrations.reembed.migration import Migration
from migrations.reembed.throttle import Throttle
from migrations.reembed.verifying import verification
from migrations.reembed.verifying.report import Report
from storage import indexes, migrations, pending

_IDLE_S = 0.3
# An HNSW build takes hours, and meanwhile writes only record what the target lacks.
_MANY_PENDING = 1000

Step = Callable[[Migration], Awaitable[bool]]


class MigrationSteps:
    """One worker's steps: all workers backfill, one at a time leads and changes the state."""

    def __init__(
        self,
        engine: AsyncEngine,
        models: ModelPool,
        *,
        owner: str,
        backlog: Backlog,
        builder: TargetBuilder,
        replica: Replica,
        on_retired: Callable[[], None],
    ) -> None:
        """`on_retired` is called when an index table is no longer needed."""
        self._engine = engine
        self._models = models
        self._leader = Leader(engine, owner)
        self._backlog = backlog
        self._backfill = Backfill(engine, models, backlog, owner)
        self._builder = builder
        self._replica = replica
        self._on_retired = on_retired
        # Each returns whether to read the migration again and continue with its state.
        self._steps: dict[str, Step] = {
            "planned": self._begin,
            "backfilling": self._run_backfill,
            "building": self._build,
            "verifying": self._verify,
            "ready": self._begin_cutting,
            "cutting": self._cut_over,
            "soaking": self._retire,
        }

    async def run(self, migration: Migration) -> None:
        """Until the migration waits for a person, for time to pass, or for another worker."""
        while True:
            try:
                if not await self._steps[migration.state](migration):
                    return
            except errors.LeaseLost:
                return
            except Exception as error:
                await self._leader.handle_failure(migration, first(error))
                return
            async with self._engine.connect() as conn:
                current = await reembed.read(conn, migration.id)
            if current is None or current.state not in states.WORKER_STATES or current.is_idle:
                return
            migration = current

    async def _begin(self, migration: Migration) -> bool:
        if not await self._is_target_loaded(migration):
            return False
        async with self._leader.lead(migration) as epoch, self._engine.begin() as conn:
            await backfill.create_ranges(conn, migration)
            await reembed.change_state(conn, migration, "backfilling", epoch=epoch)
        return True

    async def _is_target_loaded(self, migration: Migration) -> bool:
        """This process needs the target's model; until it is loaded, others work without it."""
        target = migration.target_index
        if self._models.has_space(target.space_id):
            return True
        self._models.wake()
        why = self._models.problems.get(target.fingerprint, "it is being loaded")
        async with self._engine.begin() as conn:
            await migrations.record_waiting(
                conn, migration.id, f"{self._replica.name} waits for {target.model_id}: {why}"
            )
        return False

    async def _run_backfill(self, migration: Migration) -> bool:
        if not await self._is_target_loaded(migration):
            return False
        throttle = Throttle(self._engine, migration, self._replica)
        async with throttle.watching():
            while not throttle.stopped:
                if await self._backfill.work(migration, throttle):
                    continue
                async with self._leader.lead(migration) as epoch:
                    is_finished = await self._backfill.finish(migration, epoch)
                if is_finished:
                    return True
                await asyncio.sleep(_IDLE_S)
        return True

    async def _build(self, migration: Migration) -> bool:
        async with self._leader.lead(migration) as epoch:
            done = await self._builder.build(migration.target_index)
            async with self._engine.begin() as conn:
                await reembed.change_state(conn, migration, "verifying", epoch=epoch, why=done)
        return True

    async def _verify(self, migration: Migration) -> bool:
        if not await self._is_target_loaded(migration):
            return False
        target = migration.target_index
        async with self._leader.lead(migration) as epoch:
            if await self._return_to_backfill(migration, epoch):
                return True
            await cutover.catch_up(self._engine, self._backlog, target, to_few=True)
            report = await self._measure(migration)
            if _can_widen_search(report):
                await self._builder.retune(target, migration.options.gates.recall)
                report = await self._measure(migration)
            await retries.writing(lambda: self._record_verdict(migration, report, epoch))
        return True

    async def _return_to_backfill(self, migration: Migration, epoch: int) -> bool:
        """After a long build many texts are pending: all workers embed them, throttled."""
        async with self._engine.begin() as conn:
            counts = await pending.counts(conn, migration.target_index.id)
            if counts.waiting <= _MANY_PENDING:
                return False
            why = f"{counts.waiting:,} texts were written meanwhile"
            await reembed.change_state(conn, migration, "backfilling", epoch=epoch, why=why)
        return True

    async def _measure(self, migration: Migration) -> Report:
        index_id = migration.target_index.id
        target = await retries.read(self._engine, lambda conn: indexes.by_id(conn, index_id))
        if target is None:
            raise errors.LeaseLost(f"index {index_id} was dropped")
        subject = verification.Subject(
            engine=self._engine,
            models=self._models,
            migration=migration.row,
            collection=migration.collection,
            source=migration.source_index,
            target=target,
            options=migration.options,
        )
        return await verification.verify(subject)

    async def _record_verdict(self, migration: Migration, report: Report, epoch: int) -> None:
        failing = [gate for gate in report.verdict.gates if not gate.passed]
        async with self._engine.begin() as conn:
            await migrations.record_report(conn, migration.id, report.to_stored())
            if report.verdict.passed:
                await reembed.change_state(conn, migration, "ready", epoch=epoch)
                return
            await reembed.change_state(
                conn,
                migration,
                "blocked",
                epoch=epoch,
                why="gates: " + ", ".join(gate.name for gate in failing),
                resume_state="backfilling",
                error="; ".join(f"{gate.name}: {gate.detail}" for gate in failing),
            )

    async def _begin_cutting(self, migration: Migration) -> bool:
        if migration.awaits_cutover:
            return await self._drain_while_waiting(migration)
        async with self._leader.lead(migration) as epoch:
            await cutover.begin_cutting(self._engine, migration, epoch=epoch)
        return True

    async def _drain_while_waiting(self, migration: Migration) -> bool:
        """While it waits for a person, embed new texts as the backfill does."""
        async with self._engine.connect() as conn:
            waiting = (await pending.counts(conn, migration.target_index.id)).waiting
        if not waiting or not await self._is_target_loaded(migration):
            return False
        throttle = Throttle(self._engine, migration, self._replica)
        async with throttle.watching():
            while not throttle.stopped and await self._backfill.drain_pending(migration, throttle):
                pass
        return False

    async def _cut_over(self, migration: Migration) -> bool:
        if not await self._is_target_loaded(migration):
            return False
        async with self._leader.lead(migration) as epoch:
            if not await self._is_almost_caught_up(migration, epoch):
                return True
            await cutover.catch_up(self._engine, self._backlog, migration.target_index)
            coverage = await cutover.read_coverage(self._engine, migration.target_index)
            if coverage.missing > coverage.failed:
                return True
            blocker = await cutover.cut_over(self._engine, migration, epoch=epoch)
            if blocker is None:
                await self._record_coverage(migration, coverage)
            else:
                await self._report_blocker(migration, blocker, epoch)
        return True

    async def _is_almost_caught_up(self, migration: Migration, epoch: int) -> bool:
        """A cheap check that saves reading every document while something is still in the way."""
        target = migration.target_index
        await self._backlog.embed_batch(target, Urgency.WRITE)
        waive = migration.options.waive_failed
        async with self._engine.connect() as conn:
            blocker = await cutover.find_blocker(conn, target, waive_failed=waive)
        if blocker is not None:
            await self._report_blocker(migration, blocker, epoch)
        return blocker is None

    async def _report_blocker(
        self, migration: Migration, blocker: cutover.Blocker, epoch: int
    ) -> None:
        """Show what the cutover waits for; if a person has to act, the migration is blocked."""
        async with self._engine.begin() as conn:
            await migrations.record_waiting(conn, migration.id, blocker.reason)
            if blocker.is_permanent:
                await reembed.change_state(
                    conn,
                    migration,
                    "blocked",
                    epoch=epoch,
                    why=blocker.reason,
                    resume_state="cutting",
                    error=blocker.reason,
                )
        await asyncio.sleep(_IDLE_S)

    async def _record_coverage(self, migration: Migration, coverage: pending.IndexCoverage) -> None:
        """Replace the report's coverage by the final one, measured while writes embed for both."""
        if migration.row.report is None:
            return
        final = {
            "documents": coverage.documents,
            "missing": coverage.missing,
            "waived": coverage.failed,
        }
        async with self._engine.begin() as conn:
            await migrations.record_report(
                conn, migration.id, {**migration.row.report, "coverage": final}
            )

    async def _retire(self, migration: Migration) -> bool:
        async with self._leader.lead(migration):
            await cutover.retire_source(
                self._engine, migration, why="the retention period for a rollback is over"
            )
        self._on_retired()
        return False


def _can_widen_search(report: Report) -> bool:
    """Whether recall failed with HNSW, where a higher ef_search may find more."""
    failing = [gate for gate in report.verdict.gates if not gate.passed]
    return report.recall.path == "hnsw" and any(gate.name == "recall" for gate in failing)
