import subprocess
import sys
from pathlib import Path

import pytest

from tests import models


@pytest.fixture(scope="session")
def resaved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models saved by the installed sentence-transformers; see tests/resaving.py."""
    folder = tmp_path_factory.mktemp("resaved")
    script = Path(models.__file__).parent / "resaving.py"
    subprocess.run([sys.executable, str(script), str(folder)], check=True, capture_output=True)
    return folder
