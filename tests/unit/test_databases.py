"""Which PostgreSQL the tests choose, depending on the machine."""

import pytest

from tests import databases
from tests.databases import Docker

NO_ENGINE = Docker(answers=False, has_image=False)
NO_IMAGE = Docker(answers=True, has_image=False)
READY = Docker(answers=True, has_image=True)


@pytest.mark.parametrize(
    ("url", "docker", "kind"),
    [
        ("postgresql://somewhere/db", READY, "url"),
        ("postgresql://somewhere/db", NO_ENGINE, "url"),
        (None, READY, "container"),
        ("", READY, "container"),
        (None, NO_IMAGE, "embedded"),
        (None, NO_ENGINE, "embedded"),
    ],
)
def test_the_database_depends_on_the_environment(url, docker, kind):
    choice = databases.choose(url, docker)
    assert choice.kind == kind
    assert str(choice).startswith(f"database of the tests: {kind} (")


def test_each_test_has_a_database_of_its_own(database_server):
    with databases.fresh(database_server) as one, databases.fresh(database_server) as other:
        assert one != other
        databases.execute(one, "CREATE TABLE t (n int)")
        databases.execute(other, "CREATE TABLE t (n int)")


def test_an_unresponsive_engine_is_not_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")
    assert databases.look_for_docker() == NO_ENGINE


def test_clone_has_the_newest_schema(database_url):
    from migrations import schema

    assert schema.current(database_url).is_current


def test_empty_database_has_no_schema(empty_database_url):
    from migrations import schema

    assert schema.current(empty_database_url).current is None
