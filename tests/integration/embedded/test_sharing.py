"""One PostgreSQL for all users of a data directory, for as long as there is one."""

from collections.abc import Iterator

import psycopg
import pytest

from storage.embedded import layout, postgres, postmaster
from tests import databases


def ask(url: str, statement: str) -> object:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        cursor = connection.execute(statement)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def server_pid(place: layout.Layout) -> int | None:
    process = postmaster.process(place.cluster)
    return process.pid if process else None


@pytest.fixture(scope="module")
def shared_url() -> Iterator[str]:
    """A server with the usual settings, for tests that change nothing."""
    with databases.open_directory() as folder, postgres.EmbeddedPostgres(folder / "data") as server:
        yield server.url


def test_database_has_pgvector(shared_url):
    assert ask(shared_url, "SELECT '[1,2,3]'::halfvec <=> '[1,2,3]'::halfvec") == 0
    assert ask(shared_url, "SELECT current_database()") == "vecmark"


@pytest.mark.parametrize(
    "name", ["fsync", "full_page_writes", "synchronous_commit", "data_checksums"]
)
def test_what_guards_the_data_is_on(shared_url, name):
    assert ask(shared_url, f"SELECT current_setting('{name}')") == "on"


def test_nobody_listens_on_the_network(shared_url):
    assert ask(shared_url, "SELECT current_setting('listen_addresses')") == ""


@pytest.mark.usefixtures("prepared")
def test_data_outlives_a_stop(embedded):
    first = embedded()
    ask(first.start(), "CREATE TABLE t AS SELECT 7 AS n")
    assert first.stop()
    assert ask(first.start(), "SELECT n FROM t") == 7


@pytest.mark.usefixtures("prepared")
def test_last_of_two_users_stops_it(embedded, place):
    first, second = embedded(), embedded()
    assert first.start() == second.start()
    pid = server_pid(place)
    assert not first.stop()
    assert server_pid(place) == pid
    assert ask(second.url, "SELECT 1") == 1
    assert second.stop()
    assert server_pid(place) is None


def test_two_starts_at_once_on_an_empty_directory(user, place):
    both = [user(), user()]
    urls = [process.stdout.readline().strip() for process in both]
    assert urls[0]
    assert urls[0] == urls[1]
    ask(urls[0], "CREATE TABLE t AS SELECT 7 AS n")
    assert both[0].communicate()[0] == ""
    assert both[0].returncode == 0
    assert ask(urls[1], "SELECT n FROM t") == 7
    both[1].communicate()
    assert both[1].returncode == 0
    assert server_pid(place) is None


@pytest.mark.usefixtures("prepared")
def test_killed_user_leaves_it_to_the_next(embedded, user, place):
    killed = user()
    url = killed.stdout.readline().strip()
    pid = server_pid(place)
    killed.kill()
    killed.wait()
    assert ask(url, "SELECT 1") == 1
    following = embedded()
    assert following.start() == url
    assert server_pid(place) == pid
    assert following.stop()
    assert server_pid(place) is None


def test_an_unfinished_first_start_is_repeated(embedded, place):
    place.unfinished.mkdir(parents=True)
    (place.unfinished / "PG_VERSION").write_text("18\n")
    assert ask(embedded().start(), "SELECT 1") == 1
    assert not place.unfinished.exists()


def test_url_needs_a_start(embedded):
    with pytest.raises(RuntimeError, match="not started"):
        _ = embedded().url
