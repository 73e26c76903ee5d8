"""The order in which test files run, and which of them share a worker.

Two workers take groups of files from one queue: the longest first, so that neither ends with a long
one while the other has nothing left.
"""

from xdist.scheduler import LoadFileScheduling

# Folders whose files share fixtures that take many seconds.
TOGETHER = (
    "tests/acceptance/embeddings",
    "tests/integration/embedding",
    "tests/unit/embedding/model_files",
)
# The slowest groups and about how many seconds they take. Only the order matters: the first two
# start with different models, so that neither worker waits for a conversion of the other.
SECONDS = {
    "tests/integration/embedding": 75,
    "tests/acceptance/test_kill.py": 70,
    "tests/acceptance/embeddings": 69,
    "tests/unit/embedding/model_files": 56,
    "tests/integration/migrations/test_spaces.py": 47,
    "tests/acceptance/cli/test_model_registry.py": 44,
    "tests/integration/migrations/test_plan.py": 44,
    "tests/integration/migrations/test_leases.py": 42,
    "tests/integration/migrations/test_moving.py": 42,
    "tests/acceptance/cli/test_adopt.py": 37,
    "tests/integration/adoption/test_importing.py": 37,
    "tests/migration/test_fire.py": 37,
    "tests/acceptance/test_migrations.py": 32,
    "tests/integration/migrations/test_verification.py": 31,
    "tests/acceptance/test_health.py": 27,
    "tests/integration/migrations/test_stale.py": 27,
    "tests/integration/indexing/models/test_memory.py": 23,
    "tests/integration/migrations/test_failures.py": 23,
    "tests/acceptance/test_stream.py": 20,
    "tests/integration/embedded/test_crashes.py": 20,
    "tests/acceptance/cli/test_serve.py": 18,
    "tests/acceptance/test_missing_model.py": 18,
    "tests/acceptance/test_start.py": 17,
    "tests/integration/adoption/test_matching.py": 17,
    "tests/acceptance/cli/test_add.py": 16,
    "tests/integration/indexing/hnsw/test_keeper.py": 15,
}


def group(nodeid: str) -> str:
    """The file of a test, or the folder that all of its files share a worker with."""
    file = nodeid.partition("::")[0]
    return next((folder for folder in TOGETHER if file.startswith(f"{folder}/")), file)


def rank(nodeid: str) -> int:
    """Tests of a lower rank run earlier."""
    return -SECONDS.get(group(nodeid), 0)


class Scheduler(LoadFileScheduling):  # type: ignore[misc]
    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)
