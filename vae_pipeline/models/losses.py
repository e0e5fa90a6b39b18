"""The two terms of the evidence lower bound, per sample.

Both are sums over what one sample holds, and only then averaged over the batch: a mean over elements against a summed
divergence would multiply beta by the number of elements and collapse the posterior.
"""

from typing import Literal

import torch
from torch import Tensor

__all__ = ["image_error", "kl_per_dimension", "reconstruction_error", "segmentation_loss"]


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


def image_error(inputs: Tensor, reconstruction: Tensor, *, pixel_noise: float, structure: float) -> Tensor:
    """Squared error of a Gaussian of deviation ``pixel_noise`` plus 1 - SSIM, summed over an image, (n,).

    Args:
        inputs: images in [0, 1], shape (n, 3, height, width).
        reconstruction: same shape.
        pixel_noise: standard deviation of a value around its reconstruction.
        structure: weight of (1 - SSIM) / 2, a value per element, beside the squared error.

    SSIM: Z. Wang et al., Image quality assessment: from error visibility to structural similarity, 2004.
    """
    squared = reconstruction_error(inputs, reconstruction, "mse") / pixel_noise**2
    if not structure:
        return squared
    from pytorch_msssim import ssim

    similar = ssim(reconstruction, inputs, data_range=1.0, size_average=False, win_size=7)
    return squared + 0.5 * structure * (1.0 - similar) * inputs[0].numel()


def segmentation_loss(log_odds: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy per pixel and, of images with an anomaly, the soft Dice loss, shape (n,).

    Args:
        log_odds: of every pixel to be anomalous, shape (n, height, width).
        mask: 1 where it is, else 0, same shape.

    Dice: F. Milletari et al., V-Net, 3DV 2016.
    """
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(log_odds, mask, reduction="none").mean((1, 2))
    probability = log_odds.sigmoid()
    area = mask.sum((1, 2))
    overlap = (2.0 * (probability * mask).sum((1, 2)) + 1.0) / (probability.sum((1, 2)) + area + 1.0)
    return 4.0 * entropy + torch.where(area > 0, 1.0 - overlap, 0.0)
