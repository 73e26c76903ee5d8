"""Watching over real HTTP, of a service that gives the answers of a list and no more."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from api.cli import client, errors
from api.cli.migrate import outcome, requests, sessions, show
from tests.unit.cli import migrations

# Closes the connection without a word, as a service does that was killed.
GONE = None


class Answers:
    """What comes next: a status with its body, or GONE; the last one again and again."""

    def __init__(self, *answers: tuple[int, object] | None) -> None:
        self.answers = list(answers)
        self.requests: list[str] = []
        self.was_requested = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.requests.append(head.split("\r\n")[0])
        self.was_requested.set()
        length = [line for line in head.lower().split("\r\n") if line.startswith("content-length")]
        await reader.readexactly(int(length[0].split(":")[1]) if length else 0)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is not None:
            body = msgspec.json.encode(answer[1])
            start = f"HTTP/1.1 {answer[0]} X\r\nContent-Length: {len(body)}\r\n"
            writer.write(start.encode() + b"Connection: close\r\n\r\n" + body)
            await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def session(answers: Answers) -> AsyncIterator[sessions.Session]:
    async with await asyncio.start_server(answers.serve, "127.0.0.1") as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with client.connect(url) as service:
            yield sessions.Session(service, as_json=False)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show, "POLL_S", 0.0)


def ok(state: str, **changed: Any) -> tuple[int, object]:
    return 200, migrations.migration(state, **changed)


async def test_it_is_watched_through_a_restart_of_the_service(capsys):
    stopping = (503, {"type": "about:blank", "detail": "the service is stopping"})
    proxy = (404, "<html>no such host</html>")
    answers = Answers(ok("backfilling"), stopping, GONE, proxy, ok("building"), ok("soaking"))
    async with session(answers) as opened:
        migration = migrations.migration("planned", history=migrations.history("planned"))
        done = await show.follow(opened, migrations.answer(migration), outcome.is_over)
    assert done.answer == msgspec.json.encode(migrations.migration("soaking"))
    assert done.code == 0
    assert answers.requests == ["GET /v1/collections/default/migrations/0194-a HTTP/1.1"] * 6
    printed = capsys.readouterr()
    assert "doesn't answer; retrying (the service is stopping)" in printed.err
    assert "The service answers again." in printed.err
    assert printed.out.startswith("default: cut over;")


async def test_a_service_that_stays_away_is_given_up(monkeypatch):
    monkeypatch.setattr(show, "PATIENCE_S", 0.0)
    async with session(Answers(GONE)) as opened:
        with pytest.raises(errors.Failure, match="continues when a service runs again"):
            await show.follow(opened, migrations.answer(migrations.migration()), outcome.is_over)


async def test_a_migration_that_has_gone_is_a_failure_at_once():
    gone = (404, {"type": "/problems/not-found", "detail": "no collection default"})
    async with session(Answers(gone)) as opened:
        with pytest.raises(errors.Failure, match="no collection default"):
            await show.follow(opened, migrations.answer(migrations.migration()), outcome.is_over)


async def test_what_is_left_by_an_interruption_says_how_to_look_again(capsys):
    answers = Answers(ok("backfilling", collection="notes"))
    async with session(answers) as opened:
        migration = migrations.migration(collection="notes")
        task = asyncio.create_task(
            show.follow(opened, migrations.answer(migration), outcome.is_over)
        )
        await answers.was_requested.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    printed = capsys.readouterr().err
    assert "The migration continues" in printed
    assert "migrate watch -c notes`" in printed


async def test_the_open_migration_is_chosen_unless_one_is_named():
    ended, running = migrations.migration("done", id="1"), migrations.migration(id="2")
    answers = Answers((200, {"items": [ended, running], "next_cursor": None}))
    async with session(answers) as opened:
        migration = await sessions.find_migration(opened, sessions.Scope(None), "default")
        newest = await requests.find_newest(opened.service, "default")
    assert migration is not None
    assert newest is not None
    assert (migration.value.id, newest.value.id) == ("2", "1")


async def test_without_an_open_one_there_is_nothing_to_act_on(capsys):
    answers = Answers((200, {"items": [migrations.migration("done")], "next_cursor": None}))
    async with session(answers) as opened:
        with pytest.raises(errors.Failure, match="default: no migration is in progress"):
            await sessions.find_migration(opened, sessions.Scope(None), "default")
        scope = sessions.Scope(None, every=True)
        assert await sessions.find_migration(opened, scope, "default") is None
    line = "default: no migration is in progress (the last one is done).\n"
    assert capsys.readouterr().out == line


@pytest.mark.parametrize(("kind", "code"), [("cutover-blocked", 3), ("transition-refused", 1)])
async def test_a_refusal_of_the_gates_has_its_own_code(kind, code):
    problem = {"type": f"/problems/{kind}", "detail": "recall 0.95"}
    migration = migrations.migration("blocked")
    async with session(Answers((409, problem))) as opened:
        with pytest.raises(errors.Failure, match=r"recall 0\.95") as caught:
            await requests.send_command(opened.service, migration, "cutover", {})
    assert caught.value.exit_code == code
