"""Poison stands out from the batch's majority, drift moves the majority, and clean batches are neither."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vae_pipeline.intake.screen import FEWEST, LEVEL, Sample, screened

REFERENCE = np.random.default_rng(0).normal(0.0, 1.0, 1000)
THRESHOLD = float(np.quantile(REFERENCE, 0.99))


def judged(scores):
    samples = [
        Sample(f"u{number // 4}", 10 * (number % 4) + 1, 10 * (number % 4) + 10) for number in range(len(scores))
    ]
    return screened(np.asarray(scores, dtype=float), samples, REFERENCE, THRESHOLD)


def drawn(seed, n=120, *, shift=0.0, spread=1.0, poisoned=0.0, height=6.0):
    random = np.random.default_rng(seed)
    scores = random.normal(shift, spread, n)
    scores[: round(poisoned * n)] += height * spread
    return scores


def share(verdict, **how):
    return np.mean([getattr(judged(drawn(seed, **how)), verdict) for seed in range(200)])


def test_clean_batches_are_refused_no_oftener_than_the_level_says():
    refused = sum(judged(drawn(seed)).poisoned for seed in range(500))
    assert stats.binom.sf(refused - 1, 500, LEVEL) > 0.01


def test_a_tenth_of_anomalies_labelled_normal_is_found():
    assert share("poisoned", poisoned=0.1) > 0.99


@pytest.mark.parametrize("shift", [1.0, 3.0, 10.0])
def test_a_batch_that_moved_as_a_whole_is_drift_and_no_poison(shift):
    assert share("poisoned", shift=shift) < 0.05
    assert share("drifted", shift=shift) > (0.5 if shift == 1.0 else 0.95)


def test_drift_with_a_wider_spread_is_no_poison_either():
    assert share("poisoned", shift=5.0, spread=2.0) < 0.05


def test_poison_is_found_in_a_batch_that_drifted_too():
    assert share("poisoned", shift=5.0, poisoned=0.1) > 0.99


def test_what_stands_out_is_named_by_unit_and_rows_the_highest_first():
    scores = np.zeros(40)
    scores += np.random.default_rng(0).normal(0, 0.5, 40)
    scores[[5, 6]] = 9.0
    scores[20] = 12.0
    found = judged(scores)
    assert found.poisoned
    assert [(each.unit, each.first, each.last, each.samples) for each in found.suspects] == [
        ("u5", 1, 10, 1),
        ("u1", 11, 30, 2),
    ]
    assert "stand out from the others" in found.told
    assert "units u5, u1" in found.told


def test_too_few_samples_have_no_majority():
    assert judged(np.full(FEWEST - 1, 50.0)) is None


def test_scores_without_any_spread_are_judged():
    found = judged(np.zeros(30))
    assert (found.poisoned, found.drifted, found.standing_out) == (False, False, 0)


@given(st.lists(st.floats(-20, 20), min_size=FEWEST, max_size=60), st.randoms())
def test_the_order_of_the_samples_plays_no_role(scores, random):
    shuffled = list(scores)
    random.shuffle(shuffled)
    one, other = judged(scores), judged(shuffled)
    assert (one.poisoned, one.drifted, one.standing_out) == (other.poisoned, other.drifted, other.standing_out)


@given(st.lists(st.floats(-20, 20), min_size=FEWEST, max_size=60), st.floats(0, 50))
def test_moving_a_whole_batch_up_makes_no_more_of_it_stand_out(scores, shift):
    before, after = judged(scores), judged(np.asarray(scores) + shift)
    own_bar = np.median(scores) + np.median(np.abs(scores - np.median(scores))) * (
        (THRESHOLD - np.median(REFERENCE)) / np.median(np.abs(REFERENCE - np.median(REFERENCE)))
    )
    own = sum(score > own_bar - 1e-9 for score in scores)  # what stands out once the threshold is passed by all
    assert after.standing_out <= max(before.standing_out, own)
