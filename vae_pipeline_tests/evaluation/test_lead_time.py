import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_pipeline.evaluation.lead_time import lead_times


def slow(alarm, life):
    """One unit by loops: walk back from the end for as long as alarms hold."""
    n = len(alarm)
    start = n
    for i in range(n - 1, -1, -1):
        following = alarm[i + 1 : i + 6]
        holds = alarm[i] if not len(following) else sum(following) >= 0.6 * len(following) - 1e-9
        if not holds:
            break
        start = i
    for i in range(start, n):
        if alarm[i]:
            return life[i]
    return np.nan


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=25), min_size=1, max_size=4))
@settings(max_examples=300, deadline=None)
def test_equals_the_loops(units):
    alarm = np.concatenate([np.array(unit) for unit in units])
    unit = np.repeat(np.arange(len(units)), [len(unit) for unit in units])
    life = np.concatenate([np.arange(len(unit))[::-1] for unit in units]).astype(np.float32)
    expected = [slow(own, np.arange(len(own))[::-1]) for own in units]
    assert lead_times(alarm, np.ones(len(alarm)), unit, life) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("alarms", "expected"),
    [
        ("...........#########", 8),
        ("..###......#########", 8),  # an early burst that ends is a false alarm
        (".......#.##.########", 12),  # gaps of two in five are bridged
        ("...##########.......", np.nan),  # silent at the end
        ("....................", np.nan),
        ("####################", 19),
        ("...................#", 0),  # detected at the very end
    ],
)
def test_cases(alarms, expected):
    alarm = np.array([mark == "#" for mark in alarms])
    life = np.arange(len(alarm))[::-1].astype(np.float32)
    found = lead_times(alarm, np.ones(len(alarm)), np.zeros(len(alarm)), life)
    assert found == pytest.approx([expected], nan_ok=True)


def test_units_that_stay_normal_or_have_no_remaining_life_do_not_count():
    alarm = np.ones(9, dtype=bool)
    unit = np.repeat([0, 1, 2], 3)
    label = np.repeat([0, 1, 1], 3)
    life = np.array([9, 8, 7, np.nan, np.nan, np.nan, 2, 1, 0], dtype=np.float32)
    assert lead_times(alarm, label, unit, life).tolist() == [2.0]
