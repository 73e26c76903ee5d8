from migrations.reembed.verifying import metrics


def test_overlap_is_a_share_of_the_longer_list():
    assert metrics.overlap("abcd", "dcxy") == 0.5
    assert metrics.overlap("abcd", "ab") == 0.5
    assert metrics.overlap("ab", "abcd") == 0.5
    assert metrics.overlap("", "ab") == 0
    assert metrics.overlap("", "") == 1


def test_rank_shift_counts_places_of_what_both_hold():
    assert metrics.rank_shift("abc", "abc") == 0
    assert metrics.rank_shift("abc", "cba") == (2 + 0 + 2) / 3
    assert metrics.rank_shift("abx", "yab") == 1
    assert metrics.rank_shift("ab", "cd") is None
