"""From what each modality says of the latent to what both say of it.

An expert is a modality's posterior. Where a modality is missing its expert is left out, never guessed.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from vae_pipeline.models.posterior import Posterior

__all__ = ["Component", "ConcatenationFusion", "MeanFusion", "MixtureFusion", "ProductFusion"]

_NEVER = 1e-6
"""Divisor where no modality is there at all."""


class Component(NamedTuple):
    """One Gaussian of the fused posterior.

    Attributes:
        posterior: mean and log-variance, each of shape (n, latent).
        weight: its share of the posterior, shape (n,); the components' weights sum to 1 where a modality is there.
    """

    posterior: Posterior
    weight: Tensor


class ProductFusion(nn.Module):
    """The product of the experts and of the prior N(0, 1): precisions add, means are weighed by them.

    M. Wu, N. Goodman, Multimodal generative models for scalable weakly-supervised learning, NeurIPS 2018.
    """

    SILENT = 4.0
    """Log-variance of a dimension that an expert has nothing to say about."""

    def forward(self, experts: tuple[Posterior, ...], present: Tensor) -> tuple[Component, ...]:
        """One component.

        Args:
            experts: of each modality.
            present: 1 where a modality is there, else 0, shape (n, modalities).
        """
        precision = torch.ones_like(experts[0].mean)
        weighted = torch.zeros_like(precision)
        for expert, there in zip(experts, present.split(1, dim=1), strict=True):
            own = there * torch.exp(-expert.log_variance)
            precision = precision + own
            weighted = weighted + own * expert.mean
        return (Component(Posterior(weighted / precision, -torch.log(precision)), torch.ones_like(precision[:, 0])),)


class MixtureFusion(nn.Module):
    """The mixture of the experts, each as likely as any other that is there.

    Y. Shi et al., Variational mixture-of-experts autoencoders for multi-modal deep generative models, NeurIPS 2019.
    """

    SILENT = 0.0

    def forward(self, experts: tuple[Posterior, ...], present: Tensor) -> tuple[Component, ...]:
        """As many components as modalities."""
        share = present / present.sum(1, keepdim=True).clamp(min=_NEVER)
        return tuple(Component(expert, share[:, place]) for place, expert in enumerate(experts))


class MeanFusion(nn.Module):
    """One Gaussian whose parameters are the mean of the experts': no posterior of anything, kept for comparison."""

    SILENT = 0.0

    def forward(self, experts: tuple[Posterior, ...], present: Tensor) -> tuple[Component, ...]:
        """One component."""
        share = (present / present.sum(1, keepdim=True).clamp(min=_NEVER)).unsqueeze(2)
        means, log_variances = (torch.stack([expert[which] for expert in experts], 1) for which in (0, 1))
        posterior = Posterior((share * means).sum(1), (share * log_variances).sum(1))
        return (Component(posterior, torch.ones_like(present[:, 0])),)


class ConcatenationFusion(nn.Module):
    """A linear projection of both experts' parameters, and of which modalities are there.

    It begins as the sum of the experts: with each in dimensions of its own, as if they stood side by side.
    """

    SILENT = 0.0

    def __init__(self, latent: int, modalities: int) -> None:
        super().__init__()
        self.mean = nn.Linear(modalities * (latent + 1), latent)
        self.log_variance = nn.Linear(modalities * (latent + 1), latent)
        with torch.no_grad():
            for layer in (self.mean, self.log_variance):
                layer.weight.zero_()
                layer.bias.zero_()
                for place in range(modalities):
                    layer.weight[:, place * latent : (place + 1) * latent] = torch.eye(latent)

    def forward(self, experts: tuple[Posterior, ...], present: Tensor) -> tuple[Component, ...]:
        """One component."""
        there = present.split(1, dim=1)
        means = torch.cat([*(expert.mean * own for expert, own in zip(experts, there, strict=True)), present], 1)
        spreads = [expert.log_variance * own for expert, own in zip(experts, there, strict=True)]
        log_variance = self.log_variance(torch.cat([*spreads, present], 1)).clamp(-10.0, 10.0)
        return (Component(Posterior(self.mean(means), log_variance), torch.ones_like(present[:, 0])),)
