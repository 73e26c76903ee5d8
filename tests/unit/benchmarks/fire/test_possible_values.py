"""The possible values of a document at a given time."""

import pytest

from benchmarks.fire import possible_values
from tests.unit.benchmarks.fire.conftest import delete, patch, put


@pytest.mark.parametrize(
    ("writes", "read", "expected"),
    [
        ([], (5, 6), {None}),
        ([put("a", 1, 2)], (3, 4), {"a"}),
        ([put("a", 1, 2)], (0, 0.5), {None}),
        # Concurrent with the read: it may have happened before or after.
        ([put("a", 1, 5)], (3, 4), {None, "a"}),
        ([put("a", 1, 2), put("b", 3, 5)], (4, 4.5), {"a", "b"}),
        ([put("a", 1, 2), put("b", 3, 5)], (2.5, 2.9), {"a"}),
        ([put("a", 1, 2), put("b", 3, 5)], (6, 7), {"b"}),
        ([put("a", 1, 2), delete(3, 4)], (5, 6), {None}),
        ([put("a", 1, 2), delete(3, 4), put("a", 5, 6)], (7, 8), {"a"}),
        # Certainly not done.
        ([put("a", 1, 2), put("b", 3, 4, "failed")], (5, 6), {"a"}),
        # Unknown outcome: at any later time, or never.
        ([put("a", 1, 2), put("b", 3, 4, "unknown")], (5, 6), {"a", "b"}),
        ([put("a", 1, 2), put("b", 3, 4, "unknown"), put("c", 5, 6)], (7, 8), {"b", "c"}),
        ([put("a", 1, 2), delete(3, 4, "unknown"), put("c", 5, 6)], (7, 8), {None, "c"}),
        ([put("a", 1, 2), put("b", 3, 4, "unknown")], (2.5, 2.9), {"a"}),
        # Two clients at once: either may be the last.
        ([put("a", 1, 4), put("b", 2, 3)], (5, 6), {"a", "b"}),
        # A patch doesn't change the text.
        ([put("a", 1, 2), patch(7, 3, 4)], (5, 6), {"a"}),
    ],
)
def test_texts(writes, read, expected):
    assert possible_values.texts(writes, *read) == expected


def test_at_the_end_only_the_newest_acknowledged_write_counts():
    assert possible_values.texts([put("a", 1, 2), put("b", 3, 4)]) == {"b"}


def test_numbers_also_come_from_patches():
    writes = [put("a", 1, 2, no=1), patch(2, 3, 4), patch(3, 5, 6, "unknown"), patch(4, 7, 8)]
    assert possible_values.numbers(writes) == {3, 4}
    assert possible_values.numbers(writes[:2]) == {2}
