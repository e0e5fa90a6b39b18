import pytest
import torch
from torch.distributions import Laplace, Normal, kl_divergence

from vae_pipeline.models.losses import kl_per_dimension, reconstruction_error


def test_divergence_is_that_of_torch():
    mean, log_variance = torch.randn(50, 6, dtype=torch.float64), torch.randn(50, 6, dtype=torch.float64)
    expected = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(kl_per_dimension(mean, log_variance), expected)


def test_divergence_of_the_prior_from_itself_is_zero():
    assert kl_per_dimension(torch.zeros(3, 2), torch.zeros(3, 2)).abs().max() == 0


@pytest.mark.parametrize(("kind", "likelihood"), [("mse", Normal), ("mae", Laplace)])
def test_error_is_the_negative_log_likelihood_up_to_a_constant(kind, likelihood):
    inputs, first, second = (torch.randn(20, 3, 7, dtype=torch.float64) for _ in range(3))

    def surprise(reconstruction):
        return -likelihood(reconstruction, 1.0).log_prob(inputs).sum((1, 2))

    found = reconstruction_error(inputs, first, kind) - reconstruction_error(inputs, second, kind)
    torch.testing.assert_close(found, surprise(first) - surprise(second))


def test_error_is_a_sum_over_the_elements_of_each_window():
    ones = torch.ones(2, 3, 5)
    assert reconstruction_error(ones, 3 * ones, "mae").tolist() == [30.0, 30.0]
    assert reconstruction_error(ones, 3 * ones, "mse").tolist() == [30.0, 30.0]
