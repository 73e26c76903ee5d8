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
# Seconds of the slowest groups on two cores, with an empty model cache. Only their order matters.
SECONDS: dict[str, int] = {}


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
