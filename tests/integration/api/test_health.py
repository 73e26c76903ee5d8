"""What `/readyz` reports and can't be brought about from outside."""

import dataclasses

import structlog.testing

from api import lifespan
from api.service import Service
from api.services import health


async def broken() -> None:
    raise LookupError("what it worked with is gone")


async def test_a_dead_background_task_is_reported(service: Service) -> None:
    dead_tasks: dict[str, str] = {}
    service = dataclasses.replace(service, dead_tasks=dead_tasks)
    assert (await health.check(service)).checks["tasks"] == "ok"
    with structlog.testing.capture_logs() as logged:
        async with lifespan._run_tasks([broken()], dead_tasks):
            checks = (await health.check(service)).checks
    assert checks["model"] == "ok"
    assert "broken ended (LookupError: what it worked with is gone)" in checks["tasks"]
    assert [event["event"] for event in logged] == ["task_died"]
