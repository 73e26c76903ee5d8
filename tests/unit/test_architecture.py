"""The map shows the land: what docs/architecture.md and CONTRIBUTING.md name is there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAP = ROOT / "docs/architecture.md"
PAGES = (MAP, ROOT / "CONTRIBUTING.md")
PACKAGES = ("api", "embedding", "host", "indexing", "migrations", "storage")
# In backticks, with a slash: a path of the repository.
PATH = re.compile(r"`([a-z_]+/[\w./-]*)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_that_is_named_exists(page: Path):
    paths = PATH.findall(page.read_text())
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_folder_of_the_packages_is_on_the_map():
    named = MAP.read_text()
    folders = [
        folder.relative_to(ROOT)
        for package in PACKAGES
        for folder in (ROOT / package).iterdir()
        if (folder / "__init__.py").exists() and any(folder.glob("[a-z]*.py"))
    ]
    assert len(folders) > 15
    missing = [str(folder) for folder in folders if f"`{folder}/" not in named]
    assert missing == []


def test_every_package_and_module_has_a_docstring():
    files = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
    assert len(files) > 200
    undocumented = [
        str(file.relative_to(ROOT))
        for file in files
        if not ast.get_docstring(ast.parse(file.read_text()))
    ]
    assert undocumented == []


def test_no_two_public_classes_of_a_package_have_one_name():
    for package in PACKAGES:
        seen: dict[str, Path] = {}
        for file in sorted((ROOT / package).rglob("*.py")):
            for node in ast.parse(file.read_text()).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    assert node.name not in seen, (node.name, file, seen[node.name])
                    seen[node.name] = file
