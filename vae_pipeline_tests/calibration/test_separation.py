import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from vae_pipeline.calibration.separation import average_precision, roc_auc


@st.composite
def scored(draw):
    n = draw(st.integers(2, 60))
    levels = draw(st.sampled_from([2, 5, 1000]))
    scores = np.array(draw(st.lists(st.integers(0, levels), min_size=n, max_size=n)), dtype=float)
    positive = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    positive[draw(st.integers(0, n - 2))], positive[-1] = True, False
    return scores, positive


@given(scored())
def test_areas_are_those_of_sklearn_ties_included(case):
    scores, positive = case
    assert roc_auc(scores, positive) == pytest.approx(roc_auc_score(positive, scores))
    assert average_precision(scores, positive) == pytest.approx(average_precision_score(positive, scores))


def test_perfect_separation_is_one_and_the_reverse_zero():
    scores, positive = np.arange(10.0), np.arange(10) >= 6
    assert roc_auc(scores, positive) == average_precision(scores, positive) == 1.0
    assert roc_auc(-scores, positive) == 0.0
