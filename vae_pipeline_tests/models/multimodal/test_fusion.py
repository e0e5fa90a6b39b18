"""What experts come to together, against the formulas written out number by number."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vae_pipeline.models.multimodal.fusion import ConcatenationFusion, MeanFusion, MixtureFusion, ProductFusion
from vae_pipeline.models.posterior import Posterior

LATENT = 3
EVERY = (ProductFusion, MixtureFusion, MeanFusion, lambda: ConcatenationFusion(LATENT, 2))

numbers = arrays.arrays(np.float64, (2, 2, 2, LATENT), elements=st.floats(-3.0, 3.0))
"""Mean and log-variance of two experts for two pairs."""


def experts_of(values):
    return tuple(Posterior(*(torch.from_numpy(part).float() for part in each)) for each in values)


def present(*both):
    return torch.tensor([both, both], dtype=torch.float32)


@given(values=numbers, there=st.sampled_from([(1, 1), (1, 0), (0, 1), (0, 0)]))
@settings(max_examples=60, deadline=None)
def test_the_product_is_that_of_the_densities_and_the_prior(values, there):
    [(found, weight)] = ProductFusion()(experts_of(values), present(*there))
    for pair in range(2):
        for place in range(LATENT):
            gaussians = [(0.0, 1.0)]  # the prior
            gaussians += [
                (values[expert, 0, pair, place], np.exp(values[expert, 1, pair, place]))
                for expert in range(2)
                if there[expert]
            ]
            precision = sum(1.0 / variance for _, variance in gaussians)
            mean = sum(centre / variance for centre, variance in gaussians) / precision
            assert found.mean[pair, place].item() == pytest.approx(mean, abs=1e-4)
            assert found.log_variance[pair, place].exp().item() == pytest.approx(1.0 / precision, rel=1e-3)
    assert weight.tolist() == [1.0, 1.0]


@given(values=numbers, there=st.sampled_from([(1, 1), (1, 0), (0, 1)]))
@settings(max_examples=30, deadline=None)
def test_the_mixture_keeps_every_expert_as_it_is_and_weighs_those_that_are_there(values, there):
    experts = experts_of(values)
    components = MixtureFusion()(experts, present(*there))
    for component, expert, share in zip(components, experts, np.array(there) / sum(there), strict=True):
        assert torch.equal(component.posterior.mean, expert.mean)
        assert torch.equal(component.posterior.log_variance, expert.log_variance)
        np.testing.assert_allclose(component.weight.numpy(), share)


@given(values=numbers, there=st.sampled_from([(1, 1), (1, 0), (0, 1)]))
@settings(max_examples=30, deadline=None)
def test_the_mean_is_that_of_the_parameters_of_those_that_are_there(values, there):
    [(found, _)] = MeanFusion()(experts_of(values), present(*there))
    chosen = np.flatnonzero(there)
    np.testing.assert_allclose(found.mean, values[chosen, 0].mean(0), atol=1e-5)
    np.testing.assert_allclose(found.log_variance, values[chosen, 1].mean(0), atol=1e-5)


@given(values=numbers, there=st.sampled_from([(1, 1), (1, 0), (0, 1), (0, 0)]))
@settings(max_examples=30, deadline=None)
def test_the_projection_begins_as_the_sum_of_those_that_are_there(values, there):
    [(found, _)] = ConcatenationFusion(LATENT, 2)(experts_of(values), present(*there))
    np.testing.assert_allclose(found.mean.detach(), np.einsum("e,epl->pl", there, values[:, 0]), atol=1e-5)


@pytest.mark.parametrize("fusion", EVERY)
@given(values=numbers, other=arrays.arrays(np.float64, (2, 2, LATENT), elements=st.floats(-3.0, 3.0)))
@settings(max_examples=15, deadline=None)
def test_what_a_missing_expert_would_say_does_not_matter(fusion, values, other):
    changed = values.copy()
    changed[1] = other
    one, two = (fusion()(experts_of(each), present(1, 0)) for each in (values, changed))
    for first, second in zip(one, two, strict=True):
        assert torch.equal(first.weight, second.weight)
        if float(first.weight.sum()) > 0:
            np.testing.assert_allclose(first.posterior.mean.detach(), second.posterior.mean.detach(), atol=1e-6)
