"""Memory of a service's processes."""

import subprocess
import sys

import psutil
import pytest

from benchmarks import processes

BYTES = 80_000_000
PEAK = f"""
input()
block = bytearray(b"x") * {BYTES}
del block
print("over", flush=True)
input()
"""
PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {PEAK!r}])
sys.exit(child.wait())
"""


@pytest.fixture
def process():
    """Starts Python programs that continue when they read a line."""
    started = []

    def start(program):
        child = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(child)
        return child

    yield start
    for child in started:
        child.communicate("\n\n")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps a process's peak")
def test_the_kernel_keeps_a_peak_between_two_samples(process):
    child = process(PEAK)
    with processes.Watch(child.pid) as watch:
        before = watch.now_mb()
        child.stdin.write("\n")
        child.stdin.flush()
        assert child.stdout.readline() == "over\n"
    assert watch.now_mb() < before + 40
    assert watch.peak_mb > before + 70


def test_memory_of_children_counts(process):
    child = process(PARENT)
    alone = psutil.Process(child.pid).memory_info().rss / 1e6
    child.stdin.write("\n")
    child.stdin.flush()
    assert child.stdout.readline() == "over\n"
    with processes.Watch(child.pid) as watch:
        assert watch.now_mb() > alone + 3


def test_this_process_is_not_postgresql():
    assert not processes.is_postgres(psutil.Process())
