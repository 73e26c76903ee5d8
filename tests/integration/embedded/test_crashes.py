"""PostgreSQL killed, its user killed, both killed; and pids that now belong to others."""

import threading

import psycopg
import pytest

from storage.embedded import errors, postmaster
from tests import waiting
from tests.integration.embedded.test_sharing import ask, server_pid
from tests.processes import kill

pytestmark = pytest.mark.usefixtures("prepared")


def test_killed_server_is_started_again(embedded, place):
    server = embedded()
    url = server.start()
    ask(url, "CREATE TABLE t AS SELECT 7 AS n")
    assert not server.ensure_running()
    kill(server_pid(place))
    assert server.ensure_running()
    assert server.url == url
    assert ask(url, "SELECT n FROM t") == 7
    assert not server.ensure_running()


def test_one_of_two_users_starts_it_again(embedded, user, place):
    other = user()
    url = other.stdout.readline().strip()
    server = embedded()
    assert server.start() == url
    kill(server_pid(place))  # a child of the other process, which does not reap it
    assert server.ensure_running()
    other.communicate()
    assert ask(url, "SELECT 1") == 1


def test_user_and_server_killed(embedded, user, place):
    killed = user()
    url = killed.stdout.readline().strip()
    ask(url, "CREATE TABLE t AS SELECT 7 AS n")
    killed.kill()
    kill(server_pid(place))
    killed.wait()
    assert ask(embedded().start(), "SELECT n FROM t") == 7


def test_session_that_outlives_its_server_is_ended(embedded, place):
    """It continues with the old server's memory, so a new server would refuse to start."""
    server = embedded()
    busy = psycopg.connect(server.start().replace("+psycopg", ""), autocommit=True)
    endless = "SELECT count(*) FROM generate_series(1, 100000000000)"
    failed: list[Exception] = []

    def run() -> None:
        try:
            busy.execute(endless)
        except psycopg.OperationalError as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    running = f"SELECT count(*) FROM pg_stat_activity WHERE query = '{endless}'"
    waiting.until(lambda: ask(server.url, running) == 1)
    kill(server_pid(place))
    assert postmaster.processes(place.cluster)
    assert server.ensure_running()
    thread.join(10)
    busy.close()
    assert failed
    assert ask(server.url, "SELECT 1") == 1


def test_pid_that_now_belongs_to_another_process(embedded, place, stranger):
    server = embedded()
    ask(server.start(), "CREATE TABLE t AS SELECT 7 AS n")
    kill(server_pid(place))
    path = place.cluster / "postmaster.pid"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
    socket_lock = next(place.socket_dir.glob(".s.PGSQL.*.lock"))
    lines = socket_lock.read_text().splitlines()
    socket_lock.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
    assert server.ensure_running()
    assert ask(server.url, "SELECT n FROM t") == 7
    assert server.stop()
    assert stranger.poll() is None


def test_a_lost_socket_is_created_again(embedded, place):
    """As if temporary files were cleaned up: the server lives but nobody can reach it."""
    server = embedded()
    ask(server.start(), "CREATE TABLE t AS SELECT 7 AS n")
    pid = server_pid(place)
    (place.socket_dir / ".s.PGSQL.5432").unlink()
    assert server.ensure_running()
    assert server_pid(place) != pid
    assert ask(server.url, "SELECT n FROM t") == 7


def test_failed_start_shows_the_log(embedded, place):
    server = embedded(overrides={"shared_buffers": "1kB"})
    with pytest.raises(errors.StartFailed, match="shared_buffers"):
        server.start()
    assert server_pid(place) is None
