"""One migration, moved on by this worker from state to state as far as it goes by itself."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from sqlalchemy.ext.asyncio import AsyncEngine

from embedding.scheduling.queue import Urgency
from indexing import retries
from indexing.documents.backlog import Backlog
from indexing.errors import first
from indexing.models.pool import ModelPool
from indexing.replica import Replica
from migrations.reembed import cutover, errors, migration, states
from migrations.reembed.backfill import Backfill
from migrations.reembed.building import TargetBuilder
from migrations.reembed.leadership import Leader
from migrations.reembed.migration import Migration
from migrations.reembed.throttle import Throttle
from migrations.reembed.verifying import verification
from migrations.reembed.verifying.report import Report
from storage import collections, indexes, migration_ranges, migrations, pending

_IDLE_S = 0.3
# Of a collection's documents; small ones are shared between workers, too.
_RANGE_DOCUMENTS = 500
_MOST_RANGES = 1024
_LEAST_RANGES = 4
_FEW_PENDING = 64
# An HNSW build takes hours, and all that time writes only note what the target lacks.
_MANY_PENDING = 1000

Step = Callable[[Migration], Awaitable[bool]]


class MigrationSteps:
    """Any number of workers drive one migration: all backfill, one at a time moves it on."""

    def __init__(
        self,
        engine: AsyncEngine,
        models: ModelPool,
        *,
        owner: str,
        backlog: Backlog,
        building: TargetBuilder,
        presence: Replica,
        retired: Callable[[], None],
    ) -> None:
        """`retired` is called when a table is nobody's any more."""
        self._engine = engine
        self._models = models
        self._leader = Leader(engine, owner)
        self._backlog = backlog
        self._backfill = Backfill(engine, models, owner)
        self._building = building
        self._presence = presence
        self._retired = retired
        self._steps: dict[str, Step] = {
            "planned": self._plan,
            "backfilling": self._fill,
            "building": self._build,
            "verifying": self._verify,
            "ready": self._begin_cutting,
            "cutting": self._cut_over,
            "soaking": self._retire,
        }

    async def run(self, found: Migration) -> None:
        """Until it waits for a person, for time to pass, or for another worker."""
        while True:
            try:
                if not await self._steps[found.state](found):
                    return
            except errors.LeaseLost:
                return
            except Exception as error:
                await self._leader.handle_failure(found, first(error))
                return
            async with self._engine.connect() as conn:
                again = await migration.read(conn, found.id)
            if again is None or again.state not in states.WORKER_STATES or again.is_idle:
                return
            found = again

    async def _plan(self, found: Migration) -> bool:
        if not await self._has_target(found):
            return False
        async with self._leader.lead(found) as epoch, self._engine.begin() as conn:
            documents = await collections.count_documents(conn, found.collection.id)
            count = min(_MOST_RANGES, max(_LEAST_RANGES, documents // _RANGE_DOCUMENTS))
            await migration_ranges.create(conn, found.id, count)
            await migration.change_state(conn, found, "backfilling", epoch=epoch)
        return True

    async def _has_target(self, found: Migration) -> bool:
        """This process may only begin with the model loaded; others go on without it."""
        target = found.target_index
        if self._models.has(target.space_id):
            return True
        self._models.wake()
        why = self._models.problems.get(target.fingerprint, "it is being loaded")
        async with self._engine.begin() as conn:
            await migrations.record_waiting(
                conn, found.id, f"{self._presence.name} waits for {target.model_id}: {why}"
            )
        return False

    async def _fill(self, found: Migration) -> bool:
        if not await self._has_target(found):
            return False
        throttle = Throttle(self._engine, found, self._presence)
        async with throttle.watching():
            while not throttle.stopped:
                if await self._backfill.run(found, throttle):
                    continue
                if await self._work_off(found, throttle):
                    continue
                if await self._finish_filling(found):
                    return True
                await asyncio.sleep(_IDLE_S)
        return True

    async def _work_off(self, found: Migration, throttle: Throttle) -> bool:
        """What was written meanwhile, held back as the ranges are; whether there was any."""
        begun = time.monotonic()
        done = await self._backlog.work_off(found.target_index)
        if done.documents:
            throttle.record_batch(done.chunks, time.monotonic() - begun)
            await throttle.wait_for_turn(done.chunks)
        return done.documents > 0

    async def _finish_filling(self, found: Migration) -> bool:
        """To `building` once a query finds nothing missing; False while others still work."""
        async with self._leader.lead(found) as epoch:
            async with self._engine.begin() as conn:
                left = (await migration_ranges.totals(conn, found.id)).unfinished
                counts = await pending.counts(conn, found.target_index.id)
                # Steady writes leave a few at any time; those are embedded before the cut-over.
                if left or counts.waiting > _FEW_PENDING:
                    return False
                # Looks at every document, so only when the rest is done.
                noted = await pending.add_missing(
                    conn, found.target_index.id, found.collection.id, 5000
                )
            if noted:
                return True
            async with self._engine.begin() as conn:
                await migration.change_state(conn, found, "building", epoch=epoch)
        return True

    async def _build(self, found: Migration) -> bool:
        async with self._leader.lead(found) as epoch:
            done = await self._building.run(found.target_index)
            async with self._engine.begin() as conn:
                await migration.change_state(conn, found, "verifying", epoch=epoch, why=done)
        return True

    async def _verify(self, found: Migration) -> bool:
        if not await self._has_target(found):
            return False
        async with self._leader.lead(found) as epoch:
            if await self._lags(found, epoch):
                return True
            await cutover.catch_up(self._engine, self._backlog, found.target_index, to_few=True)
            report = await self._measured(found)
            if _lacks_recall(report):
                await self._building.retune(found.target_index, found.options.gates.recall)
                report = await self._measured(found)
            await retries.writing(lambda: self._record(found, report, epoch))
        return True

    async def _record(self, found: Migration, report: Report, epoch: int) -> None:
        """The verdict and what follows from it."""
        failing = [gate for gate in report.verdict.gates if not gate.passed]
        async with self._engine.begin() as conn:
            await migrations.record_report(conn, found.id, report.to_stored())
            if report.verdict.passed:
                await migration.change_state(conn, found, "ready", epoch=epoch)
                return
            await migration.change_state(
                conn,
                found,
                "blocked",
                epoch=epoch,
                why="gates: " + ", ".join(gate.name for gate in failing),
                resume_state="backfilling",
                error="; ".join(f"{gate.name}: {gate.detail}" for gate in failing),
            )

    async def _lags(self, found: Migration, epoch: int) -> bool:
        """Many texts came during a long build: workers embed them as held back as all others."""
        async with self._engine.begin() as conn:
            counts = await pending.counts(conn, found.target_index.id)
            if counts.waiting <= _MANY_PENDING:
                return False
            why = f"{counts.waiting:,} texts were written meanwhile"
            await migration.change_state(conn, found, "backfilling", epoch=epoch, why=why)
        return True

    async def _measured(self, found: Migration) -> Report:
        target = await retries.read(
            self._engine, lambda conn: indexes.by_id(conn, found.target_index.id)
        )
        if target is None:
            raise errors.LeaseLost(f"the index {found.target_index.id} is gone")
        subject = verification.Subject(
            engine=self._engine,
            models=self._models,
            migration=found.row,
            collection=found.collection,
            source=found.source_index,
            target=target,
            options=found.options,
        )
        return await verification.verify(subject)

    async def _begin_cutting(self, found: Migration) -> bool:
        if found.awaits_cutover:
            return await self._keep_near(found)
        async with self._leader.lead(found) as epoch:
            await cutover.begin_cutting(self._engine, found, epoch=epoch)
        return True

    async def _keep_near(self, found: Migration) -> bool:
        """While it waits for a person, what is written is embedded as in the backfill."""
        async with self._engine.connect() as conn:
            waiting = (await pending.counts(conn, found.target_index.id)).waiting
        if not waiting or not await self._has_target(found):
            return False
        throttle = Throttle(self._engine, found, self._presence)
        async with throttle.watching():
            while not throttle.stopped and await self._work_off(found, throttle):
                pass
        return False

    async def _cut_over(self, found: Migration) -> bool:
        if not await self._has_target(found):
            return False
        async with self._leader.lead(found) as epoch:
            if not await self._is_near(found, epoch):
                return True
            await cutover.catch_up(self._engine, self._backlog, found.target_index)
            covered = await cutover.read_coverage(self._engine, found.target_index)
            if covered.missing > covered.failed:
                return True
            hinder = await cutover.cut_over(self._engine, found, epoch=epoch)
            if hinder is None:
                await self._record_coverage(found, covered)
                return True
            await self._hindered(found, hinder, epoch)
        return True

    async def _is_near(self, found: Migration, epoch: int) -> bool:
        """Whether it pays to look at every document: nothing that a glance shows is in the way."""
        await self._backlog.work_off(found.target_index, Urgency.WRITE)
        waive = found.options.waive_failed
        async with self._engine.connect() as conn:
            hinder = await cutover.find_blocker(conn, found.target_index, waive_failed=waive)
        if hinder is not None:
            await self._hindered(found, hinder, epoch)
        return hinder is None

    async def _hindered(self, found: Migration, hinder: cutover.Blocker, epoch: int) -> None:
        """Say what is in the way; where it needs a person, it is blocked."""
        async with self._engine.begin() as conn:
            await migrations.record_waiting(conn, found.id, hinder.reason)
            if hinder.failed:
                await migration.change_state(
                    conn,
                    found,
                    "blocked",
                    epoch=epoch,
                    why=hinder.reason,
                    resume_state="cutting",
                    error=hinder.reason,
                )
        await asyncio.sleep(_IDLE_S)

    async def _record_coverage(self, found: Migration, covered: pending.IndexCoverage) -> None:
        """The last proof, made while every write was embedded for the target, too."""
        if found.row.report is None:
            return
        proven = {
            "documents": covered.documents,
            "missing": covered.missing,
            "waived": covered.failed,
        }
        async with self._engine.begin() as conn:
            await migrations.record_report(conn, found.id, {**found.row.report, "coverage": proven})

    async def _retire(self, found: Migration) -> bool:
        async with self._leader.lead(found):
            await cutover.retire_source(
                self._engine, found, why="the time in which it could be rolled back is over"
            )
        self._retired()
        return False


def _lacks_recall(report: Report) -> bool:
    """Where a wider search may find more."""
    gates = [gate for gate in report.verdict.gates if not gate.passed]
    return report.recall.path == "hnsw" and any(gate.name == "recall" for gate in gates)
