import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from vae_pipeline.errors import DataError
from vae_pipeline.evaluation.ranking import Ranking, area_up_to, resamples


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


@given(ranked(), st.floats(0.01, 1.0))
@settings(max_examples=150, deadline=None)
def test_partial_area_equals_sklearn_with_ties_and_weights(case, max_fpr):
    score, label, weight = case
    ranking = Ranking.of(score, label)
    plain, drawn = ranking.partial_auc(np.stack([np.ones(len(score)), weight]), max_fpr)
    assert ranking.partial_auc(max_fpr=max_fpr)[0] == pytest.approx(plain)
    assert plain == pytest.approx(roc_auc_score(label, score, max_fpr=max_fpr))
    assert drawn == pytest.approx(roc_auc_score(label, score, sample_weight=weight, max_fpr=max_fpr))


@given(ranked())
@settings(max_examples=50, deadline=None)
def test_the_partial_area_up_to_one_is_the_whole(case):
    score, label, weight = case
    ranking = Ranking.of(score, label)
    assert ranking.partial_auc(weight[None], 1.0) == pytest.approx(ranking.roc_auc(weight[None]))


def test_partial_area_ends_at_the_false_alarm_rate():
    score, label = np.arange(20.0)[::-1], np.array([1] * 5 + [0] * 10 + [1] * 5)
    # half the anomalies lead, the others come after every normal window: 0.5 high all the way
    for max_fpr in (0.1, 0.3):
        chance = max_fpr**2 / 2
        expected = (1 + (0.5 * max_fpr - chance) / (max_fpr - chance)) / 2
        assert Ranking.of(score, label).partial_auc(max_fpr=max_fpr)[0] == pytest.approx(expected)


@pytest.mark.parametrize("max_fpr", [0.0, -0.1, 1.1, float("nan")])
def test_a_false_alarm_rate_that_is_none_is_refused(max_fpr):
    with pytest.raises(DataError, match="max_fpr"):
        Ranking.of(np.arange(3.0), np.array([0, 1, 0])).partial_auc(max_fpr=max_fpr)


def test_area_is_cut_linearly_at_the_limit():
    x, y = np.array([0.0, 0.0, 0.5, 1.0]), np.array([0.0, 0.4, 0.4, 1.0])
    assert area_up_to(x, y, 0.25) == pytest.approx(0.1)
    assert area_up_to(x, y, 0.75) == pytest.approx(0.2 + 0.25 * (0.4 + 0.7) / 2)
    assert area_up_to(np.stack([x, x]), np.stack([y, 2 * y]), 2.0) == pytest.approx([0.55, 1.1])


def test_a_draw_that_lacks_a_class_is_nan():
    ranking = Ranking.of(np.array([3.0, 2.0, 1.0]), np.array([1, 0, 0]))
    weight = np.array([[0.0, 1.0, 1.0], [2.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    roc, precision = ranking.both(weight)
    assert np.isnan(roc).all()
    assert np.isnan(precision).all()
    assert np.isnan(ranking.partial_auc(weight)).all()


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
