"""Creating a cluster and starting PostgreSQL on it. Callers hold the cluster's start lock."""

import contextlib
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from host import memory
from storage.embedded import accounts, children, configuration, errors, layout, postmaster, programs

Report = Callable[[str], None]
_POLL_S = 0.02
_LOG_BYTES = 10_000_000
_ORPHANS_S = 5.0  # how long processes of a killed server have to end by themselves


def _initialise(place: layout.Layout, tools: programs.Programs, account: accounts.Account) -> None:
    """Create the cluster if there is none; it appears complete or not at all."""
    if place.cluster.is_dir():
        return
    if place.unfinished.exists():
        shutil.rmtree(place.unfinished)
    layout.make_private(place.unfinished, account)
    command = [str(tools.initdb), "-D", str(place.unfinished), "-U", postmaster.SUPERUSER]
    command += ["--auth-local=trust", "--auth-host=reject", "--encoding=UTF8"]
    command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    status, output = children.run(command, account, folder=place.home)
    if status != 0:
        raise errors.StartFailed(
            f"PostgreSQL could not create its files in {place.cluster}: {output}"
        )
    main = place.unfinished / "postgresql.conf"
    layout.write(main, f"{main.read_text()}\ninclude = 'vecmark.conf'\n", account)
    place.unfinished.rename(place.cluster)


def run(
    place: layout.Layout,
    account: accounts.Account,
    *,
    overrides: Mapping[str, str],
    report: Report,
) -> Path:
    """Find PostgreSQL running on the cluster, or start it, and wait until it answers.

    Returns its socket's directory. A recovery is waited for however long it takes.
    """
    socket_dir = _find_running(place, report)
    if socket_dir is None:
        tools = programs.ensure_copy(place.home) if account.switch else programs.packaged()
        _initialise(place, tools, account)
        socket_dir = place.socket_dir
        layout.make_private(socket_dir, account)
        _configure(place, account, socket_dir, overrides)
        _start(place, tools, account, socket_dir, report)
    return socket_dir


def running(place: layout.Layout) -> Path | None:
    """The socket directory of a server that accepts connections now."""
    return next((d for d in _sockets(place) if postmaster.ask(d) is postmaster.Answer.READY), None)


def stop(place: layout.Layout) -> None:
    """Stop the server that runs on the cluster, if one does."""
    process = postmaster.process(place.cluster)
    if process is not None:
        postmaster.end(process)
    children.reap()
    if not place.socket_dir.is_relative_to(place.home):
        with contextlib.suppress(OSError):
            place.socket_dir.rmdir()


def _sockets(place: layout.Layout) -> list[Path]:
    recorded = postmaster.record(place.cluster)
    folders = [recorded.socket_dir] if recorded and recorded.socket_dir else []
    return [*folders, place.socket_dir]


def _find_running(place: layout.Layout, report: Report) -> Path | None:
    """Wait for a server that is starting or stopping; end a server whose socket is gone."""
    began = time.monotonic()
    last = 0.0
    while True:
        children.reap()
        answers = {folder: postmaster.ask(folder) for folder in _sockets(place)}
        for folder, answer in answers.items():
            if answer is postmaster.Answer.READY:
                return folder
        process = postmaster.process(place.cluster)
        busy = postmaster.Answer.BUSY in answers.values()
        if process is None and not busy:
            return None
        waited = time.monotonic() - began
        if process and not busy and waited > _ORPHANS_S:
            report("PostgreSQL runs but cannot be reached; starting it again")
            postmaster.end(process)
        last = _report_wait(report, waited, last)
        time.sleep(_POLL_S)


def _configure(
    place: layout.Layout,
    account: accounts.Account,
    socket_dir: Path,
    overrides: Mapping[str, str],
) -> None:
    values = configuration.settings(socket_dir, memory=memory.available(), overrides=overrides)
    layout.write(place.cluster / "vecmark.conf", configuration.render(values), account)


def _start(
    place: layout.Layout,
    tools: programs.Programs,
    account: accounts.Account,
    socket_dir: Path,
    report: Report,
) -> None:
    began = time.monotonic()
    while True:
        _clear(socket_dir)
        postmaster.disown(place.cluster, account)
        _rotate(place.log)
        command = [str(tools.postgres), "-D", str(place.cluster)]
        child = children.spawn_server(command, account, log=place.log)
        if _wait(child, socket_dir, began, report):
            return
        log = _tail(place.log)
        orphans = postmaster.processes(place.cluster)
        if "shared memory block" not in log or not orphans:
            raise errors.StartFailed(
                f"PostgreSQL ended while it started, with status {child.returncode}. The end of "
                f"{place.log}:\n{log}"
            )
        # A killed server's sessions don't notice its death until their statement ends.
        patience = began + _ORPHANS_S - time.monotonic()
        _end_orphans(orphans, patience)


def _end_orphans(orphans: list[psutil.Process], patience_s: float) -> None:
    _, alive = psutil.wait_procs(orphans, timeout=max(0.0, min(patience_s, 1.0)))
    if patience_s > 0:
        return
    for number in (signal.SIGQUIT, signal.SIGKILL):
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        _, alive = psutil.wait_procs(alive, timeout=5)


def _wait(child: subprocess.Popen[bytes], socket_dir: Path, began: float, report: Report) -> bool:
    """True once it accepts connections, False if it ended; no time limit while it lives."""
    last = 0.0
    while child.poll() is None:
        if postmaster.ask(socket_dir) is postmaster.Answer.READY:
            return True
        last = _report_wait(report, time.monotonic() - began, last)
        time.sleep(_POLL_S)
    children.reap()
    return False


def _report_wait(report: Report, waited_s: float, last_s: float) -> float:
    if waited_s < last_s + 2:
        return last_s
    report(f"waiting for PostgreSQL to recover from a crash or to stop ({waited_s:.0f} s)")
    return waited_s


def _clear(socket_dir: Path) -> None:
    """Remove a dead server's socket; PostgreSQL would trust the pid in its lock file."""
    for leftover in socket_dir.glob(".s.PGSQL.*"):
        leftover.unlink(missing_ok=True)


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-8:])
