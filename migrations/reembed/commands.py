"""What people ask of a migration: pause, resume, cut over, roll back and the like."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from indexing import retries
from indexing.documents.backlog import Backlog
from indexing.models.pool import ModelPool
from migrations.reembed import cli_hints, cutover, errors, migration, states
from migrations.reembed.migration import Migration
from migrations.reembed.verifying.report import Report
from storage import migration_states, migrations, pending

# A rollback embeds what is pending first: a few texts, unless the old model was away. Then workers
# go on, and it is asked for again: nobody expects a switch that comes long after.
_DRAIN_S = 60.0
_LOOK_EVERY_S = 0.25


class MigrationCommands:
    """Each is one transaction; `retired` is called when a table is nobody's any more.

    A rollback gives up after `drain_s` seconds.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        models: ModelPool,
        backlog: Backlog,
        retired: Callable[[], None],
        *,
        drain_s: float = _DRAIN_S,
    ) -> None:
        self._drain_s = drain_s
        self._engine = engine
        self._models = models
        self._backlog = backlog
        self._retired = retired

    async def pause(self, found: Migration) -> None:
        """Raises TransitionRefused, as all of these do."""

        if found.state == "paused":
            resume = cli_hints.migrate_command(found.collection.name, "resume")
            raise errors.TransitionRefused(f"it is paused already; {resume} lets it go on")

        async def work(conn: AsyncConnection) -> None:
            await migration.change_state(conn, found, "paused", resume_state=found.state)

        await self._once(work)

    async def resume(self, found: Migration) -> None:
        """Go on; texts that were set aside are tried again."""
        if found.state not in states.STOPPED or found.resume_state is None:
            raise errors.TransitionRefused(f"a migration that is {found.state} can't be resumed")
        goes_on = found.resume_state

        async def work(conn: AsyncConnection) -> None:
            if found.state != "paused" and not found.is_soaking:
                await pending.retry_failed(conn, found.target_index.id)
            await migration.change_state(conn, found, goes_on)

        await self._once(work)

    async def cancel(self, found: Migration) -> None:
        """Drop the target; the source goes on as if nothing had been."""
        if not states.can_cancel(found.state, found.resume_state):
            after = (
                "it has been cut over: roll it back, or retire the old index"
                if found.is_soaking
                else "it is over"
            )
            raise errors.TransitionRefused(
                f"a migration that is {found.state} can't be cancelled: {after}"
            )
        await cutover.drop_target(self._engine, found)
        self._retired()

    async def throttle(self, found: Migration, changes: Mapping[str, object]) -> None:
        """Change `max_rate` and `query_p95_ms`; workers follow within a second or so."""
        if found.state in migration_states.ENDED:
            raise errors.TransitionRefused(f"a migration that is {found.state} has no rate")

        async def work(conn: AsyncConnection) -> None:
            await migrations.set_options(conn, found.id, changes)
            await migrations.clear_turns(conn, found.id)

        await self._once(work)

    async def _once(self, work: Callable[[AsyncConnection], Awaitable[None]]) -> None:
        """One transaction, made again where it lost against others."""

        async def again() -> None:
            async with self._engine.begin() as conn:
                await work(conn)

        await retries.reading(again)

    async def cut_over(self, found: Migration, *, force: str | None, waive_failed: bool) -> None:
        """Begin the cut-over of one that is ready or blocked; workers finish it.

        Raises CutoverBlocked with what its verdict says, TransitionRefused.
        """
        if found.state not in {"ready", "blocked"}:
            raise errors.TransitionRefused(
                f"a migration that is {found.state} can't be cut over; it has to be ready"
            )
        reasons = await self._reasons(found, waive_failed=waive_failed)
        if reasons["failed"] or (reasons["gates"] and force is None):
            raise errors.CutoverBlocked([*reasons["failed"], *reasons["gates"]])
        changes: dict[str, object] = {"waive_failed": True} if waive_failed else {}
        if force is not None:
            changes["forced"] = force
        why = None if force is None else f"forced: {force}"
        await cutover.begin_cutting(self._engine, found, epoch=None, why=why, options=changes)

    async def _reasons(self, found: Migration, *, waive_failed: bool) -> dict[str, list[str]]:
        """What stands against it: texts set aside, unless waived, and gates that failed."""
        waived = waive_failed or found.options.waive_failed
        async with self._engine.connect() as conn:
            failed = await pending.failed(conn, found.target_index.id, 3)
            counted = (await pending.counts(conn, found.target_index.id)).failed
        texts = []
        if counted and not waived:
            shown = "; ".join(f"{id_}: {why}" for id_, why in failed)
            texts.append(
                f"{counted:,} texts can't be embedded by {found.target_index.model_id} ({shown}); "
                "delete or change them, or waive them"
            )
        gates = []
        if found.row.report is not None:
            verdict = Report.from_stored(found.row.report).verdict
            # With its texts waived, coverage holds by what they are waived for.
            gates = [
                f"{gate.name}: {gate.detail}"
                for gate in verdict.gates
                if not gate.passed and not (gate.name == "coverage" and waived)
            ]
        return {"failed": texts, "gates": gates}

    async def roll_back(self, found: Migration, *, force: str | None) -> int:
        """Let the retained source answer again; how many pending texts were embedded for that.

        Raises RollbackRefused with what would be lost, or which files are missing.
        """
        if not found.is_soaking:
            raise errors.TransitionRefused(
                f"a migration that is {found.state} has nothing to roll back: "
                "only between its cut-over and the end of its time of grace"
            )
        source = found.source_index
        if not self._models.has(source.space_id):
            raise errors.RollbackRefused(
                f"the files of {source.model_id} (space {source.fingerprint}) are not on this "
                f"machine, and searches need them; looked in {self._models.places}. Put them back "
                "and restart"
            )
        drained, until = 0, time.monotonic() + self._drain_s
        while True:
            drained += await self._drain(found, force=force, until=until)
            why = f"{drained:,} pending texts were embedded first" if drained else "nothing pending"
            if force is not None:
                why += f"; forced: {force}"
            try:
                await cutover.roll_back(self._engine, found, force=force, why=why)
            except errors.RollbackRefused as error:  # of a write that came in between
                if time.monotonic() > until:
                    raise await self._not_yet(found, str(error)) from error
            else:
                break
        self._retired()
        return drained

    async def _drain(self, found: Migration, *, force: str | None, until: float) -> int:
        """Embed what the source lacks; looked at without the fence, so that nobody waits.

        Raises RollbackRefused where it can't be embedded, or not by then.
        """
        source, drained = found.source_index, 0
        while True:
            drained += await cutover.catch_up(self._engine, self._backlog, source, until=until)
            async with self._engine.connect() as conn:
                hinder = await cutover.find_blocker(conn, source, waive_failed=force is not None)
            if hinder is None:
                return drained
            if hinder.failed:
                raise errors.RollbackRefused(
                    f"a rollback would lose what was written since: {hinder.reason} "
                    f"({await self._lacking(found)}). Change or delete them, or force it with a "
                    "reason, which is recorded"
                )
            if time.monotonic() > until:
                raise await self._not_yet(found, hinder.reason)
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _not_yet(self, found: Migration, reason: str) -> errors.RollbackRefused:
        named = await self._lacking(found)
        return errors.RollbackRefused(
            f"nothing was switched yet: {reason}{f' ({named})' if named else ''}. Workers go on "
            "with it; try again when the status shows fewer"
        )

    async def _lacking(self, found: Migration) -> str:
        async with self._engine.connect() as conn:
            return ", ".join(await pending.waiting_ids(conn, found.source_index.id, 10))

    async def retire(self, found: Migration) -> None:
        """End the time of grace now: the source's table is dropped, no rollback any more."""
        if not found.is_soaking:
            raise errors.TransitionRefused(
                f"a migration that is {found.state} retains no old index"
            )
        with contextlib.suppress(errors.LeaseLost):
            await cutover.retire_source(self._engine, found, why="retired by hand")
        self._retired()
