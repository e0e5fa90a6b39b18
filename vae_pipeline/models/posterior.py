"""q(z | x), what every encoder gives."""

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Posterior"]


class Posterior(NamedTuple):
    """q(z | x): mean and log-variance, each of shape (n, latent)."""

    mean: Tensor
    log_variance: Tensor

    def sample(self) -> Tensor:
        """One reparameterised draw, shape (n, latent)."""
        return self.mean + torch.randn_like(self.mean) * torch.exp(0.5 * self.log_variance)
