import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vae_pipeline.features.windows import Windows
from vae_pipeline.models.holdout import hold_out


def of_units(lengths, window=5):
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    starts = [Windows.starts_of(a, b, window) for a, b in itertools.pairwise(bounds)]
    units = np.repeat(np.arange(len(lengths)), [len(found) for found in starts])
    return Windows(np.zeros((bounds[-1], 1), np.float32), np.concatenate(starts), window), units


@given(st.lists(st.integers(5, 30), min_size=2, max_size=30), st.floats(0.05, 0.5), st.integers(0, 5))
def test_no_unit_is_on_both_sides_and_no_window_is_lost(lengths, share, seed):
    windows, units = of_units(lengths)
    fit, steering = hold_out(windows, units, share, seed)
    unit_of = dict(zip(windows.starts.tolist(), units.tolist(), strict=True))
    sides = [{unit_of[start] for start in side.starts.tolist()} for side in (fit, steering)]
    assert not sides[0] & sides[1]
    assert sides[0] | sides[1] == set(range(len(lengths)))
    assert len(sides[1]) == max(1, round(share * len(lengths)))
    assert len(fit) + len(steering) == len(windows)


def test_the_draw_follows_the_seed():
    windows, units = of_units([10] * 40)
    draws = [hold_out(windows, units, seed=seed)[1].starts.tolist() for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


@given(st.integers(20, 200))
def test_of_a_single_unit_the_last_windows_steer_after_a_gap(rows):
    windows, units = of_units([rows])
    fit, steering = hold_out(windows, units)
    assert len(steering) > 0
    assert fit.ends.max() < steering.starts.min()
    assert steering.ends.max() == rows - 1
