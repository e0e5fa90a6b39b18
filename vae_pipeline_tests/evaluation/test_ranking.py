import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from vae_pipeline.evaluation.ranking import Ranking, resamples


@st.composite
def ranked(draw):
    n = draw(st.integers(2, 60))
    # few distinct values make ties common
    score = np.array(draw(st.lists(st.integers(0, 12), min_size=n, max_size=n)), dtype=float) / 4
    label = np.array(draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)))
    label[:2] = (0, 1)
    weight = np.array(draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)), dtype=float)
    weight[:2] = 1
    return score, label, weight


@given(ranked())
@settings(max_examples=80, deadline=None)
def test_areas_equal_sklearn_with_ties_and_weights(case):
    score, label, weight = case
    ranking = Ranking.of(score, label)
    assert ranking.roc_auc()[0] == pytest.approx(roc_auc_score(label, score))
    assert ranking.average_precision()[0] == pytest.approx(average_precision_score(label, score))
    roc, precision = ranking.both(np.stack([np.ones(len(score)), weight]))
    assert roc[1] == pytest.approx(roc_auc_score(label, score, sample_weight=weight))
    assert precision[1] == pytest.approx(average_precision_score(label, score, sample_weight=weight))


@given(ranked())
@settings(max_examples=100, deadline=None)
def test_best_f1_is_the_brute_force_maximum(case):
    score, label, _ = case
    brute = max(2 * (label[score >= cut]).sum() / ((score >= cut).sum() + label.sum()) for cut in score)
    assert Ranking.of(score, label).best_f1() == pytest.approx(brute)


@given(ranked())
@settings(max_examples=50, deadline=None)
def test_monotone_maps_change_nothing_and_negation_mirrors_roc(case):
    score, label, _ = case
    ranking, mapped = Ranking.of(score, label), Ranking.of(np.exp(score) * 3, label)
    assert mapped.roc_auc() == pytest.approx(ranking.roc_auc())
    assert mapped.average_precision() == pytest.approx(ranking.average_precision())
    assert Ranking.of(-score, label).roc_auc() == pytest.approx(1 - ranking.roc_auc())


def test_a_draw_that_lacks_a_class_is_nan():
    ranking = Ranking.of(np.array([3.0, 2.0, 1.0]), np.array([1, 0, 0]))
    roc, precision = ranking.both(np.array([[0.0, 1.0, 1.0], [2.0, 0.0, 0.0]]))
    assert np.isnan(roc).all()
    assert np.isnan(precision).all()


def test_resamples_draws_whole_units_and_is_seeded():
    unit = np.repeat([4, 7, 9], [3, 5, 2])
    group, times = resamples(unit, 50, 3)
    assert group.tolist() == np.repeat([0, 1, 2], [3, 5, 2]).tolist()
    assert (times.sum(axis=1) == 3).all()
    assert (times == resamples(unit, 50, 3)[1]).all()
    assert (times != resamples(unit, 50, 4)[1]).any()


def test_a_single_unit_is_cut_into_contiguous_blocks():
    group, times = resamples(np.zeros(100, dtype=int), 10, 0)
    assert times.shape == (10, 20)
    assert (np.diff(group) >= 0).all()
    assert (np.bincount(group) == 5).all()
