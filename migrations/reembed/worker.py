"""A worker's background task: takes part in every migration that has work to do."""

import asyncio
import functools
import socket
import uuid
from collections.abc import Callable

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from indexing import tasks
from indexing.documents.backlog import Backlog
from indexing.hnsw.builder import HnswBuilder
from indexing.models.pool import ModelPool
from indexing.replica import Replica
from migrations.reembed import migration as reembed
from migrations.reembed import states
from migrations.reembed.building import TargetBuilder
from migrations.reembed.steps import MigrationSteps
from storage import engine as database
from storage import migrations

log = structlog.get_logger()

_EVERY_S = 0.5


class MigrationWorker:
    """Runs the migrations' steps; any number of workers share the work through the database."""

    def __init__(
        self,
        engine: AsyncEngine,
        models: ModelPool,
        *,
        backlog: Backlog,
        builder: HnswBuilder,
        replica: Replica,
        hnsw_min_rows: int,
        on_retired: Callable[[], None],
    ) -> None:
        """`on_retired` is called when an index table is no longer needed."""
        self._engine = engine
        self._steps = MigrationSteps(
            engine,
            models,
            owner=f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}",
            backlog=backlog,
            builder=TargetBuilder(engine, builder, min_rows=hnsw_min_rows),
            replica=replica,
            on_retired=on_retired,
        )
        self._tasks: dict[uuid.UUID, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Until cancelled."""
        try:
            await tasks.every(_EVERY_S, self.tick, name="migrations")
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def tick(self) -> None:
        """Start a task for each migration that has work to do and has no task here yet."""
        async with self._engine.connect() as conn:
            rows = await migrations.find_workable(conn, *states.WORKER_STATES)
            new = [row for row in rows if row.id not in self._tasks]
            startable = [await reembed.from_row(conn, row) for row in new]
        for migration in startable:
            if migration is None or migration.is_idle:
                continue
            task = asyncio.create_task(self._steps.run(migration), name=f"migration {migration.id}")
            self._tasks[migration.id] = task
            task.add_done_callback(functools.partial(self._on_task_done, migration.id))

    def _on_task_done(self, migration_id: uuid.UUID, task: asyncio.Task[None]) -> None:
        del self._tasks[migration_id]
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not database.is_unavailable(error):
            log.error("migration_task_died", migration=str(migration_id), exc_info=error)
