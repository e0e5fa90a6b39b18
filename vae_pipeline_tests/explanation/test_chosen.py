import numpy as np

from vae_pipeline.explanation.chosen import spread_highest


def chosen(scores, unit, end, apart=5, most=3):
    return spread_highest(np.array(scores), np.array(unit), np.array(end), apart, most).tolist()


def test_every_units_highest_comes_before_any_units_second():
    assert chosen([9.0, 8.0, 7.0, 1.0], [0, 0, 0, 1], [0, 10, 20, 30]) == [0, 3, 1]


def test_windows_that_overlap_are_told_once():
    assert chosen([9.0, 8.0, 7.0, 6.0], [0, 0, 0, 0], [10, 11, 14, 15]) == [0, 3]


def test_no_more_than_asked_for_and_none_of_nothing():
    assert chosen([1.0, 3.0, 2.0], [0, 1, 2], [0, 0, 0], most=2) == [1, 2]
    assert chosen([], [], []) == []
