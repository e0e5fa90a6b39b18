import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_pipeline.evaluation.volume import vus_pr


def slow_vus_pr(score, label, unit, max_buffer):
    """The definition by loops: one unit, one anomaly, one threshold at a time."""
    areas = []
    thresholds = np.sort(score)[::-1][np.linspace(0, len(score) - 1, 250, dtype=int)]
    for buffer in range(max_buffer + 1):
        soft = label.astype(float)
        ranges = []
        for u in np.unique(unit):
            index = np.flatnonzero(unit == u)
            own = label[index]
            starts = [i for i in range(len(own)) if own[i] and (i == 0 or not own[i - 1])]
            ends = [i for i in range(len(own)) if own[i] and (i == len(own) - 1 or not own[i + 1])]
            values = own.astype(float)
            if buffer > 1:
                for start, end in zip(starts, ends, strict=True):
                    for i in range(end, min(end + buffer // 2, len(own))):
                        values[i] += np.sqrt(1 - (i - end) / buffer)
                    for i in range(max(start - buffer // 2, 0), start):
                        values[i] += np.sqrt(1 - (start - i) / buffer)
            values = np.minimum(values, 1)
            soft[index] = values
            run = []
            for i, value in zip(index, values, strict=True):
                if value > 0:
                    run.append(i)
                elif run:
                    ranges.append(run)
                    run = []
            if run:
                ranges.append(run)
        positives = (label.sum() + soft.sum()) / 2
        recall, precision = [0.0], [1.0]
        for threshold in thresholds:
            alarm = score >= threshold
            true = (soft * alarm).sum()
            found = np.mean([alarm[run].any() for run in ranges])
            recall.append(min(true / positives, 1) * found)
            precision.append(true / alarm.sum())
        areas.append(
            sum((recall[i] - recall[i - 1]) * (precision[i] + precision[i - 1]) / 2 for i in range(1, len(recall)))
        )
    return np.mean(areas)


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(0, 12))
@settings(max_examples=40, deadline=None)
def test_equals_the_loops(seed, units, max_buffer):
    rng = np.random.default_rng(seed)
    unit = np.repeat(np.arange(units), rng.integers(3, 30, units))
    # runs of labels, short and long, also at the units' edges
    label = np.repeat(rng.integers(0, 2, len(unit)), rng.integers(1, 6, len(unit)))[: len(unit)]
    label[0], label[-1] = 0, 1
    score = np.round(rng.normal(size=len(unit)) + label, 1)
    expected = slow_vus_pr(score, label, unit, max_buffer) if np.ptp(score) else 0.0
    assert vus_pr(score, label, unit, max_buffer=max_buffer) == pytest.approx(expected, abs=1e-12)


def test_equals_aeon_on_one_unit():
    metrics = pytest.importorskip(
        "aeon.benchmarking.metrics.anomaly_detection", reason="aeon is not installed; only the loops were compared"
    )
    rng = np.random.default_rng(0)
    label = np.zeros(500, dtype=int)
    label[100:130] = label[140:143] = label[480:] = 1
    score = rng.normal(size=500) + label
    mine = vus_pr(score, label, np.zeros(500), max_buffer=40)
    assert mine == pytest.approx(metrics.range_pr_vus_score(label, score, max_buffer_size=40), abs=1e-9)


def test_buffers_stay_within_their_unit():
    label = np.array([0] * 20 + [1] * 10 + [0] * 30)
    unit = np.repeat([0, 1], 30)
    score = np.zeros(60)
    # alarms beyond the unit's end are false alarms although an anomaly lies just before them
    score[30:35] = 1.0
    apart, together = vus_pr(score, label, unit), vus_pr(score, label, np.zeros(60))
    assert together > apart


def test_perfect_beats_random_and_constant_is_nothing():
    rng = np.random.default_rng(1)
    unit = np.repeat(np.arange(10), 100)
    label = (np.tile(np.arange(100), 10) >= 80).astype(int)
    perfect = vus_pr(label + 0.01 * rng.random(1000), label, unit, max_buffer=20)
    random = vus_pr(rng.random(1000), label, unit, max_buffer=20)
    assert perfect > 0.9
    assert random < 0.35
    assert vus_pr(np.ones(1000), label, unit) == 0.0


def test_is_fast_on_the_size_of_fd002():
    rng = np.random.default_rng(0)
    unit = np.repeat(np.arange(220), 100)
    label = (np.tile(np.arange(100), 220) >= 90).astype(int)
    start = time.perf_counter()
    vus_pr(rng.normal(size=22_000) + label, label, unit)
    assert time.perf_counter() - start < 5
