"""Overlap and rank shift of two rankings."""

from migrations.reembed.verifying import comparison


def test_overlap_is_a_share_of_the_longer_list():
    assert comparison.ranking_overlap("abcd", "dcxy") == 0.5
    assert comparison.ranking_overlap("abcd", "ab") == 0.5
    assert comparison.ranking_overlap("ab", "abcd") == 0.5
    assert comparison.ranking_overlap("", "ab") == 0
    assert comparison.ranking_overlap("", "") == 1


def test_rank_shift_counts_places_of_what_both_hold():
    assert comparison.rank_shift("abc", "abc") == 0
    assert comparison.rank_shift("abc", "cba") == (2 + 0 + 2) / 3
    assert comparison.rank_shift("abx", "yab") == 1
    assert comparison.rank_shift("ab", "cd") is None
