import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_pipeline.errors import DataError
from vae_pipeline.features.labels import row_labels, whole_windows
from vae_pipeline.records import Labels

RUN_TO_FAILURE = Labels(healthy_from=125, anomalous_below=30)


def test_run_to_failure_bounds():
    life = np.array([200, 125, 124, 30, 29, 0, np.nan])
    label, healthy = row_labels(RUN_TO_FAILURE, rows=7, training=True, remaining_life=life)
    assert label.tolist() == [0, 0, 0, 0, 1, 1, -1]
    assert healthy.tolist() == [True, True, False, False, False, False, False]
    assert label.dtype == np.int8


def test_test_rows_are_never_healthy():
    _, healthy = row_labels(RUN_TO_FAILURE, rows=1, training=False, remaining_life=np.array([500.0]))
    assert not healthy.any()


def test_label_column_and_none():
    label, healthy = row_labels(Labels(), rows=3, training=True, label=np.array([0, 1, -1]))
    assert label.tolist() == [0, 1, -1]
    assert healthy.tolist() == [True, False, True]
    label, healthy = row_labels(Labels(), rows=2, training=True)
    assert label.tolist() == [-1, -1]
    assert healthy.all()


def test_missing_remaining_life():
    with pytest.raises(DataError, match=r"labels\.healthy_from"):
        row_labels(RUN_TO_FAILURE, rows=2, training=True)
    label, _ = row_labels(RUN_TO_FAILURE, rows=2, training=False)
    assert label.tolist() == [-1, -1]


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(1, 8))
def test_whole_windows_matches_a_loop(flags, length):
    values = np.array(flags)
    starts = np.arange(0, len(values) - length + 1)
    assert whole_windows(values, starts, length).tolist() == [all(flags[s : s + length]) for s in starts]


def test_where_the_remaining_life_is_unknown_a_label_speaks():
    life = np.array([200.0, 10.0, np.nan, np.nan, np.nan])
    stated = np.array([1, 0, 0, 1, -1])
    label, healthy = row_labels(RUN_TO_FAILURE, rows=5, training=True, remaining_life=life, label=stated)
    assert label.tolist() == [0, 1, 0, 1, -1]
    assert healthy.tolist() == [True, False, True, False, False]
