"""Scores become surprise, and surprises one score that means the same whoever is missing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vae_pipeline.calibration.fusion import FORMS, PairScorer
from vae_pipeline.calibration.surprise import Surprise
from vae_pipeline.errors import CalibrationError

scores = arrays.arrays(np.float64, st.integers(20, 200), elements=st.floats(-1e3, 1e3))


@given(normal=scores, asked=scores)
@settings(max_examples=60)
def test_a_higher_score_never_surprises_less(normal, asked):
    found = Surprise.fit(normal)(np.sort(asked))
    assert np.isfinite(found).all()
    assert (np.diff(found) >= -1e-9).all()
    assert (found >= 0).all()


def test_surprise_is_the_logarithm_of_how_rare_a_score_is():
    normal = np.random.default_rng(0).exponential(size=20_000)
    asked = np.array([0.1, 0.5, 1.0, 2.0, 3.0, 5.0])
    np.testing.assert_allclose(Surprise.fit(normal)(asked), asked, rtol=0.08)  # -log of the share above is the score


@given(normal=scores)
@settings(max_examples=30)
def test_arrays_bring_the_scale_back(normal):
    scale = Surprise.fit(normal)
    again = Surprise.from_arrays(scale.to_arrays())
    np.testing.assert_array_equal(scale(normal), again(normal))


@pytest.mark.parametrize("normal", [np.zeros(19), np.array([np.nan] * 30)])
def test_too_few_or_unfit_scores_are_refused(normal):
    with pytest.raises(CalibrationError, match="20 finite ones are needed"):
        Surprise.fit(normal)


@pytest.fixture(scope="module")
def normal():
    random = np.random.default_rng(1)
    return tuple(random.normal(size=4000) * scale + shift for scale, shift in ((1.0, 0.0), (7.0, 30.0)))


@pytest.mark.parametrize("form", FORMS)
def test_normal_pairs_cross_a_level_as_often_whoever_is_missing(normal, form):
    scorer = PairScorer.fit(form, normal, *normal)
    level = -np.log(0.05)
    for windows, images in ((normal[0], normal[1]), (normal[0], None), (None, normal[1])):
        assert (scorer.combine(windows, images) > level).mean() == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize("form", FORMS)
def test_an_anomaly_in_either_or_both_is_found(normal, form):
    scorer = PairScorer.fit(form, normal, *normal)
    usual = (np.zeros(1), np.full(1, 30.0))
    odd = (np.full(1, 9.0), np.full(1, 95.0))
    low = scorer.combine(*usual)[0]
    one, other, both = (
        scorer.combine(windows, images)[0]
        for windows, images in ((odd[0], usual[1]), (usual[0], odd[1]), (odd[0], odd[1]))
    )
    assert min(one, other) > low + 4
    assert both >= max(one, other)
    assert (form == "sum") == (both > max(one, other) + 1)


def test_scorers_come_back_from_their_arrays(normal):
    scorer = PairScorer.fit("sum", normal, *normal)
    again = PairScorer.from_arrays(scorer.to_arrays(), "sum")
    np.testing.assert_array_equal(scorer.combine(*normal), again.combine(*normal))


def test_a_pair_of_nothing_is_refused(normal):
    with pytest.raises(ValueError, match="neither a window nor an image"):
        PairScorer.fit("sum", normal, *normal).combine(None, None)
