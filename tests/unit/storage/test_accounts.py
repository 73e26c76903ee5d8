"""The system user is created once, however many processes start at the same time."""

import concurrent.futures
from pathlib import Path

from storage.embedded import accounts

# As slow as the real one and, like it, unsafe to run in parallel: it would replace a user of the
# same name that another useradd has just created, whose files would then belong to nobody.
USERADD = """#!/bin/sh
mkdir {folder}/busy || echo "two at once" >> {folder}/faults
sleep 0.2
rmdir {folder}/busy
echo "$@" >> {folder}/calls
"""


def test_one_useradd_at_a_time(tmp_path: Path, monkeypatch):
    command = tmp_path / "bin/useradd"
    command.parent.mkdir()
    command.write_text(USERADD.format(folder=tmp_path))
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(command.parent), prepend=":")

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        reasons = list(threads.map(accounts.make_system_user, ["no-user-of-this-name"] * 4))

    assert reasons == [""] * 4
    assert len((tmp_path / "calls").read_text().splitlines()) == 4
    assert not (tmp_path / "faults").exists()


def test_an_existing_user_is_kept(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))  # has no useradd, so calling it would raise
    assert accounts.make_system_user("root") == ""
