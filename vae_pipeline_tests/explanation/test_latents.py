"""A linear decoder, of which every answer is known."""

import numpy as np
import pytest

from vae_pipeline.errors import CalibrationError
from vae_pipeline.explanation.latents import NormalLatents, explained_latents

MIXING = np.array([[3.0, 4.0, 0.0], [0.0, 0.0, 2.0], [1.0, 0.0, 0.0], [0.0, 0.5, 0.0]])
NORMAL = NormalLatents(np.zeros(4), np.ones(4))
LATENT = np.array([1.0, -6.0, 3.0, 0.1])


def decoded(latents):
    return latents @ MIXING


def moved(latents):
    return np.abs(latents).sum(1), decoded(latents)


def explained(most=4, local=True, latent=LATENT):
    score = float(np.abs(latent).sum())
    return explained_latents(
        latent,
        NORMAL,
        score,
        decoded(latent),
        moved=moved,
        decoded=decoded if local else None,
        most=most,
    )


def test_the_latent_that_carries_most_of_the_score_is_first():
    found = explained()
    assert [each.dimension for each in found] == [1, 2, 0, 3]
    np.testing.assert_allclose([each.change for each in found], [-6.0, -3.0, -1.0, -0.1], atol=1e-6)
    assert (found[0].value, found[0].normal) == (-6.0, 0.0)


@pytest.mark.parametrize("local", [True, False])
def test_the_jacobian_of_a_linear_decoder_is_the_norm_of_its_rows(local):
    norms = {each.dimension: each.jacobian for each in explained(local=local)}
    for dimension, row in enumerate(MIXING):
        assert norms[dimension] == pytest.approx(np.linalg.norm(row), rel=1e-3)


def test_only_those_farthest_from_normal_are_moved():
    assert {each.dimension for each in explained(most=2)} == {1, 2}


def test_far_is_meant_for_each_latents_own_spread():
    normal = NormalLatents.fit(np.random.default_rng(0).standard_normal((500, 2)) * [1.0, 100.0])
    assert normal.farthest(np.array([5.0, 50.0]), 1).tolist() == [0]


def test_a_latent_at_its_normal_value_changes_nothing():
    found = explained(local=False, latent=np.zeros(4))
    assert {each.change for each in found} == {0.0}
    assert np.isfinite([each.jacobian for each in found]).all()


def test_without_latents_there_are_no_statistics():
    with pytest.raises(CalibrationError, match="need a normal calibration sample"):
        NormalLatents.fit(np.empty((0, 3)))
