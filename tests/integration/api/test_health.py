"""What `/readyz` looks at, where it can't be brought about from outside."""

import dataclasses

import structlog.testing

from api import lifespan
from api.routes import health
from api.service import Service


async def broken() -> None:
    raise LookupError("what it worked with is gone")


async def test_a_background_task_that_died_is_told(service: Service) -> None:
    died: dict[str, str] = {}
    found = dataclasses.replace(service, dead_tasks=died)
    assert (await health._checks(found))[0]["tasks"] == "ok"
    with structlog.testing.capture_logs() as logged:
        async with lifespan._running([broken()], died):
            checks, _ = await health._checks(found)
    assert checks["model"] == "ok"
    assert "broken ended (LookupError: what it worked with is gone)" in checks["tasks"]
    assert [one["event"] for one in logged] == ["task_died"]
