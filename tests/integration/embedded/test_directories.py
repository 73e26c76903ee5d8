"""Where the files are, who can access them, and that no other directory is changed."""

import os
import pwd
import shutil
import stat
from pathlib import Path

import pytest

from storage.embedded import accounts, errors, layout, postgres, postmaster, programs
from tests import databases
from tests.integration.embedded.test_sharing import ask, server_pid

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")


def modes(paths) -> dict[Path, int]:
    return {path: path.stat().st_mode for path in paths}


def everything_above(path: Path) -> list[Path]:
    return list(path.resolve().parents)


def test_no_mode_of_a_parent_changes(embedded, data_dir):
    data_dir.mkdir(mode=0o711)
    package = programs.packaged().postgres
    watched = [data_dir, *everything_above(data_dir), *everything_above(package), package]
    before = modes(watched)
    server = embedded()
    server.start()
    server.stop()
    assert modes(watched) == before


@pytest.mark.usefixtures("prepared")
def test_others_cannot_reach_the_server(embedded, place):
    embedded().start()
    for directory in (place.cluster, place.socket_dir):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert directory.stat().st_uid == accounts.current().uid


@pytest.mark.parametrize(
    "name",
    ["x" * 150, "with space, comma, 'quote' and e\u0301te\u0301 \u6570\u636e"],
    ids=["long", "punctuation"],
)
def test_any_path_will_do(data_dir, name):
    place = layout.Layout.under(data_dir / name)
    with postgres.EmbeddedPostgres(data_dir / name) as server:
        ask(server.url, "CREATE TABLE t AS SELECT 7 AS n")
        assert ask(server.url, "SELECT n FROM t") == 7
    assert server_pid(place) is None
    assert place.socket_dir.is_relative_to(place.home) or not place.socket_dir.exists()


def test_somebody_elses_socket_directory_is_refused(tmp_path):
    open_to_all = tmp_path / "socket"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    with pytest.raises(errors.DirectoryUnreachable, match="0700"):
        layout.make_private(open_to_all, accounts.current())


def test_link_in_place_of_the_socket_directory_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "socket").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(errors.DirectoryUnreachable, match="0700"):
        layout.make_private(tmp_path / "socket", accounts.current())


@as_root
def test_closed_parent_is_named_and_stays_closed(data_dir):
    closed = data_dir.parent / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(errors.DirectoryUnreachable, match=f"cannot enter {closed} .*VECMARK_DATA"):
        postgres.EmbeddedPostgres(closed / "data").start()
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@as_root
def test_directory_of_another_user_is_named(data_dir):
    cluster = layout.Layout.under(data_dir).cluster
    cluster.mkdir(parents=True)
    os.chown(cluster, 12345, 12345)
    with pytest.raises(errors.DirectoryUnreachable, match="12345"):
        postgres.EmbeddedPostgres(data_dir).start()


@as_root
def test_programs_are_copied_for_the_system_user_whatever_the_umask(data_dir):
    data_dir.mkdir(mode=0o755)
    old = os.umask(0o077)
    try:
        tools = programs.ensure_copy(data_dir)
    finally:
        os.umask(old)
    assert tools == programs.ensure_copy(data_dir)
    for path in (tools.postgres, *tools.postgres.parents):
        assert path.stat().st_mode & stat.S_IXOTH, path
        if path == data_dir:
            break
    libraries = list(tools.initdb.parents[3].rglob("*.so*"))
    assert libraries
    assert all(library.stat().st_mode & stat.S_IROTH for library in libraries)


@pytest.mark.usefixtures("prepared")
def test_copy_of_a_running_cluster_does_not_adopt_the_original(embedded, data_dir, place):
    server = embedded()
    server.start()
    copy = layout.Layout.under(data_dir.parent / "copy").cluster
    shutil.copytree(place.cluster, copy)
    assert postmaster.record(copy) is None
    assert postmaster.process(copy) is None


@as_root
def test_without_root(user):
    """Everything works for a user who can write only to a data directory."""
    nobody = pwd.getpwnam("nobody")
    try:
        accounts.check_reachable(
            programs.packaged().postgres.parent,
            accounts.Account("nobody", nobody.pw_uid, nobody.pw_gid, switch=True),
        )
    except errors.DirectoryUnreachable as error:
        pytest.skip(f"the installed programs are closed to other users: {error}")
    with databases.open_directory() as folder:
        folder.chmod(0o700)
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        process = user(folder / "data", str(nobody.pw_uid))
        url = process.stdout.readline().strip()
        assert url, "it did not start"
        cluster = layout.Layout.under(folder / "data").cluster
        assert cluster.stat().st_uid == nobody.pw_uid
        running = postmaster.process(cluster)
        assert running is not None
        assert running.uids().real == nobody.pw_uid
        process.communicate()
        assert process.returncode == 0
        assert postmaster.process(cluster) is None
