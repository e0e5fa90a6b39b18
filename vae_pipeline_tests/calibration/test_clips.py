"""Averages of clips to a score, against the same written out slowly and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import ledoit_wolf

from vae_pipeline.calibration.clips import ClipScorer, shrunk_covariance
from vae_pipeline.calibration.scorers import PARTS, Summary
from vae_pipeline.errors import CalibrationError


def clips(count=12, seed=0, bands=5, latent=2, shift=0.0):
    random = np.random.default_rng(seed)
    mixed = random.normal(size=(count, bands)) @ np.random.default_rng(99).normal(size=(bands, bands))
    return Summary(
        error=mixed + shift,
        level=random.normal(size=(count, bands)) * [1, 2, 3, 4, 5] + shift,
        latent=random.normal(size=(count, latent)) + shift,
        mean_error=random.uniform(0.5, 1.5, count) + shift,
    )


@given(st.integers(2, 30), st.integers(1, 12), st.integers(0, 1000))
@settings(max_examples=60)
def test_covariance_is_shrunk_as_ledoit_and_wolf_have_it(count, dimensions, seed):
    random = np.random.default_rng(seed)
    rows = random.normal(size=(count, dimensions)) * random.uniform(0.1, 5, dimensions) + 3
    np.testing.assert_allclose(shrunk_covariance(rows), ledoit_wolf(rows)[0], rtol=1e-7, atol=1e-10)


def test_many_rows_are_hardly_shrunk():
    rows = np.random.default_rng(0).normal(size=(20_000, 3)) @ np.array([[2.0, 1, 0], [0, 1, 0], [0, 0, 0.5]])
    np.testing.assert_allclose(shrunk_covariance(rows), np.cov(rows.T, bias=True), atol=0.02)


def test_parts_are_the_logarithms_of_mahalanobis_distances_and_of_the_mean_error():
    normal, new = clips(), clips(4, seed=1, shift=0.5)
    parts = ClipScorer.fit(normal, late=8).parts(new)
    for place, name in enumerate(PARTS[:3]):
        rows = getattr(normal, name)
        covariance = shrunk_covariance(rows)
        for clip in range(4):
            away = getattr(new, name)[clip] - rows.mean(0)
            distance = away @ np.linalg.solve(covariance, away)
            assert parts[clip, place] == pytest.approx(np.log(distance), rel=1e-4)
    np.testing.assert_allclose(parts[:, 3], np.log(new.mean_error))


@pytest.mark.parametrize("form", [("error",), ("error", "level"), PARTS])
def test_the_score_is_the_sum_of_the_standardised_parts(form):
    scorer = ClipScorer.fit(clips(), late=8)
    parts = scorer.parts(clips(20, seed=2))
    scorer = ClipScorer(scorer.late, scorer.means, scorer.precisions, form).standardised(parts)
    expected = sum((parts[:, PARTS.index(name)] - parts[:, PARTS.index(name)].mean()) for name in form)
    scores = scorer.combine(parts)
    assert scores.mean() == pytest.approx(0.0, abs=1e-9)
    if len(form) == 1:
        np.testing.assert_allclose(scores, expected / parts[:, PARTS.index(form[0])].std())


def test_clips_further_away_score_higher():
    scorer = ClipScorer.fit(clips(), late=8)
    scorer = scorer.standardised(scorer.parts(clips(20, seed=2)))
    scores = [scorer.combine(scorer.parts(clips(6, seed=3, shift=shift))).mean() for shift in (0, 2, 8)]
    assert scores == sorted(scores)
    assert scores[2] > scores[0] + 1


def test_parts_that_lie_together_by_chance_do_not_blow_up_the_score():
    scorer = ClipScorer.fit(clips(), late=8).standardised(np.zeros((3, 4)))
    assert scorer.combine(np.full((1, 4), 0.1))[0] == pytest.approx(4.0)


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_clips_are_refused(count):
    with pytest.raises(CalibrationError, match="at least two normal ones; add some"):
        ClipScorer.fit(clips(count), late=8)


def test_clips_that_are_all_alike_still_give_numbers():
    same = Summary(*(np.repeat(values[:1], 4, axis=0) for values in clips()))
    assert np.isfinite(ClipScorer.fit(same, late=8).parts(clips(seed=4))).all()


def test_arrays_make_the_same_scorer_again(tmp_path):
    scorer = ClipScorer.fit(clips(), late=8)
    scorer = scorer.standardised(scorer.parts(clips(seed=2)))
    np.savez(tmp_path / "a.npz", allow_pickle=False, **scorer.to_arrays())
    with np.load(tmp_path / "a.npz") as stored:
        again = ClipScorer.from_arrays(dict(stored), scorer.late, scorer.form)
    parts = scorer.parts(clips(seed=5))
    np.testing.assert_array_equal(again.parts(clips(seed=5)), parts)
    np.testing.assert_array_equal(again.combine(parts), scorer.combine(parts))
