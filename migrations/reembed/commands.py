"""Commands that people give a migration: pause, resume, cut over, roll back and so on."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from indexing import retries
from indexing.documents.backlog import Backlog
from indexing.models.pool import ModelPool
from migrations.reembed import cli_hints, cutover, errors, states
from migrations.reembed import migration as reembed
from migrations.reembed.migration import Migration
from migrations.reembed.verifying.report import Report
from storage import migration_states, migrations, pending

# A rollback first embeds what is pending: a few texts, unless the old model was unavailable. After
# this time the workers do that and the rollback must be requested again: nobody expects a switch
# much later.
_DRAIN_S = 60.0
_LOOK_EVERY_S = 0.25


class MigrationCommands:
    """Each command is one transaction, and raises TransitionRefused if the state doesn't allow it.

    `on_retired` is called when an index table is no longer needed. A rollback gives up after
    `drain_s` seconds.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        models: ModelPool,
        backlog: Backlog,
        on_retired: Callable[[], None],
        *,
        drain_s: float = _DRAIN_S,
    ) -> None:
        self._drain_s = drain_s
        self._engine = engine
        self._models = models
        self._backlog = backlog
        self._on_retired = on_retired

    async def pause(self, migration: Migration) -> None:
        if migration.state == "paused":
            resume = cli_hints.migrate_command(migration.collection.name, "resume")
            raise errors.TransitionRefused(f"it is already paused; {resume} continues it")

        async def work(conn: AsyncConnection) -> None:
            await reembed.change_state(conn, migration, "paused", resume_state=migration.state)

        await self._transact(work)

    async def resume(self, migration: Migration) -> None:
        """Continue, and try texts again that were set aside."""
        if migration.state not in states.STOPPED or migration.resume_state is None:
            raise errors.TransitionRefused(
                f"a migration that is {migration.state} can't be resumed"
            )
        resume_state = migration.resume_state

        async def work(conn: AsyncConnection) -> None:
            if migration.state != "paused" and not migration.is_soaking:
                await pending.retry_failed(conn, migration.target_index.id)
            await reembed.change_state(conn, migration, resume_state)

        await self._transact(work)

    async def cancel(self, migration: Migration) -> None:
        """Drop the target; the collection stays as it was."""
        if not states.can_cancel(migration.state, migration.resume_state):
            advice = (
                "it is already cut over: roll it back, or retire the old index"
                if migration.is_soaking
                else "it is over"
            )
            raise errors.TransitionRefused(
                f"a migration that is {migration.state} can't be cancelled: {advice}"
            )
        await cutover.drop_target(self._engine, migration)
        self._on_retired()

    async def throttle(self, migration: Migration, changes: Mapping[str, object]) -> None:
        """Change `max_rate` and `query_p95_ms`; workers notice within about a second."""
        if migration.state in migration_states.ENDED:
            raise errors.TransitionRefused(
                f"a migration that is {migration.state} has no rate to change"
            )

        async def work(conn: AsyncConnection) -> None:
            await migrations.set_options(conn, migration.id, changes)
            await migrations.clear_turns(conn, migration.id)

        await self._transact(work)

    async def _transact(self, work: Callable[[AsyncConnection], Awaitable[None]]) -> None:
        """Run `work` in one transaction, again after a conflict with another one."""

        async def transaction() -> None:
            async with self._engine.begin() as conn:
                await work(conn)

        await retries.reading(transaction)

    async def cut_over(
        self, migration: Migration, *, force: str | None, waive_failed: bool
    ) -> None:
        """Begin the cutover of a migration that is ready or blocked; workers finish it.

        Raises CutoverBlocked with the failed texts and gates, TransitionRefused.
        """
        if migration.state not in {"ready", "blocked"}:
            raise errors.TransitionRefused(
                f"a migration that is {migration.state} can't be cut over: "
                "it must be ready or blocked"
            )
        failed = await self._failed_texts(migration, waive_failed=waive_failed)
        gates = _failed_gates(migration, waive_failed=waive_failed)
        if failed or (gates and force is None):
            raise errors.CutoverBlocked([*failed, *gates])
        changes: dict[str, object] = {"waive_failed": True} if waive_failed else {}
        if force is not None:
            changes["forced"] = force
        why = None if force is None else f"forced: {force}"
        await cutover.begin_cutting(self._engine, migration, epoch=None, why=why, options=changes)

    async def _failed_texts(self, migration: Migration, *, waive_failed: bool) -> list[str]:
        """One sentence about the texts that were set aside, unless they are waived."""
        if waive_failed or migration.options.waive_failed:
            return []
        target = migration.target_index
        async with self._engine.connect() as conn:
            failed = await pending.failed(conn, target.id, 3)
            count = (await pending.counts(conn, target.id)).failed
        if not count:
            return []
        examples = "; ".join(f"{id_}: {why}" for id_, why in failed)
        return [
            f"{count:,} texts can't be embedded by {target.model_id} ({examples}); "
            "change, delete or waive them"
        ]

    async def roll_back(self, migration: Migration, *, force: str | None) -> int:
        """Switch back to the retained source; returns how many texts had to be embedded first.

        Raises RollbackRefused, naming what would be lost or which model files are missing.
        """
        if not migration.is_soaking:
            raise errors.TransitionRefused(
                f"a migration that is {migration.state} can't be rolled back: "
                "only between the cutover and the end of the retention period"
            )
        source = migration.source_index
        if not self._models.has_space(source.space_id):
            raise errors.RollbackRefused(
                f"the files of {source.model_id} (space {source.fingerprint}) are not on this "
                f"machine, but searches need them; looked in {self._models.settings}. Put them "
                "back and restart"
            )
        drained, until = 0, time.monotonic() + self._drain_s
        while True:
            drained += await self._drain(migration, force=force, until=until)
            why = f"{drained:,} pending texts were embedded first" if drained else "nothing pending"
            if force is not None:
                why += f"; forced: {force}"
            try:
                await cutover.roll_back(self._engine, migration, force=force, why=why)
            except errors.RollbackRefused as error:  # a write came in between
                if time.monotonic() > until:
                    raise await self._unfinished_rollback(migration, str(error)) from error
            else:
                break
        self._on_retired()
        return drained

    async def _drain(self, migration: Migration, *, force: str | None, until: float) -> int:
        """Embed what the source lacks, without the fence, so that no write waits.

        Raises RollbackRefused if that is impossible, or not done by `until`.
        """
        source, drained = migration.source_index, 0
        while True:
            drained += await cutover.catch_up(self._engine, self._backlog, source, until=until)
            async with self._engine.connect() as conn:
                blocker = await cutover.find_blocker(conn, source, waive_failed=force is not None)
            if blocker is None:
                return drained
            if blocker.is_permanent:
                raise errors.RollbackRefused(
                    f"a rollback would lose texts written since the cutover: {blocker.reason} "
                    f"({await self._pending_ids(migration)}). Change or delete them, or force the "
                    "rollback with a reason, which is recorded"
                )
            if time.monotonic() > until:
                raise await self._unfinished_rollback(migration, blocker.reason)
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _unfinished_rollback(
        self, migration: Migration, reason: str
    ) -> errors.RollbackRefused:
        ids = await self._pending_ids(migration)
        return errors.RollbackRefused(
            f"nothing was switched yet: {reason}{f' ({ids})' if ids else ''}. Workers continue; "
            "try again when the status shows fewer pending texts"
        )

    async def _pending_ids(self, migration: Migration) -> str:
        async with self._engine.connect() as conn:
            return ", ".join(await pending.waiting_ids(conn, migration.source_index.id, 10))

    async def retire(self, migration: Migration) -> None:
        """End the retention period now: the source's table is dropped, no rollback is possible."""
        if not migration.is_soaking:
            raise errors.TransitionRefused(
                f"a migration that is {migration.state} has no old index to retire"
            )
        with contextlib.suppress(errors.LeaseLost):
            await cutover.retire_source(self._engine, migration, why="retired by command")
        self._on_retired()


def _failed_gates(migration: Migration, *, waive_failed: bool) -> list[str]:
    """Of the stored report; texts that are waived don't fail its coverage."""
    if migration.row.report is None:
        return []
    waived = waive_failed or migration.options.waive_failed
    return [
        f"{gate.name}: {gate.detail}"
        for gate in Report.from_stored(migration.row.report).verdict.gates
        if not gate.passed and not (gate.name == "coverage" and waived)
    ]
