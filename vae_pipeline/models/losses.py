"""The two terms of the evidence lower bound, per sample.

Both are sums over what one sample holds, and only then averaged over the batch: a mean over elements against a summed
divergence would multiply beta by the number of elements and collapse the posterior.
"""

from typing import Literal

import torch
from torch import Tensor

__all__ = ["kl_per_dimension", "reconstruction_error"]


def reconstruction_error(inputs: Tensor, reconstruction: Tensor, kind: Literal["mse", "mae"]) -> Tensor:
    """The negative log-likelihood up to a constant, summed over all elements of a sample, shape (n,).

    ``mse`` is half the squared error (a Gaussian of unit variance), ``mae`` the absolute error (a Laplacian of unit
    scale); inputs are scaled to unit variance.
    """
    difference = (inputs - reconstruction).flatten(1)
    return difference.abs().sum(1) if kind == "mae" else 0.5 * difference.square().sum(1)


def kl_per_dimension(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of N(mean, exp(log_variance)) from N(0, 1), per latent dimension, shape (n, latent), in nats.

    Kingma & Welling, Auto-Encoding Variational Bayes, 2014, appendix B.
    """
    return 0.5 * (mean.square() + torch.exp(log_variance) - 1.0 - log_variance)
