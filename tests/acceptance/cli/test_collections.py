"""`vecmark collections`."""

import re


def test_collections_are_created_shown_listed_and_deleted(vecmark):
    created = vecmark("collections", "create", "box", "--chunking", "none")
    assert "embeds with sentence-transformers/all-MiniLM-L6-v2" in created.stdout
    output = vecmark("collections", "show", "box").stdout
    assert re.search(r"^chunking: +strategy none", output, re.MULTILINE)
    assert re.search(r"^search: +exact", output, re.MULTILINE)
    assert re.search(r"^space: +fp1:[0-9a-f]{64}$", output, re.MULTILINE)
    assert re.search(r"^created: +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$", output, re.MULTILINE)
    assert "\nbox\t" in "\n" + vecmark("collections", "list").stdout
    assert "\nbox\t" in "\n" + vecmark("collections").stdout
    assert vecmark("collections", "delete", "box", "--yes").returncode == 0
    assert "\nbox\t" not in "\n" + vecmark("collections", "list").stdout
