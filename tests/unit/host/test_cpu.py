import os
import subprocess
import sys

import pytest

from host import cpu

ON_ONE_CPU = """
import os
from host import cpu

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
print(cpu.count())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="affinity is Linux's")
def test_only_the_cpus_of_the_affinity_are_counted():
    assert cpu.count() == len(os.sched_getaffinity(0))
    child = subprocess.run(
        [sys.executable, "-c", ON_ONE_CPU], check=True, capture_output=True, text=True, timeout=60
    )
    assert child.stdout.split() == ["1"]
