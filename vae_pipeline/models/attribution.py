"""Attribution of the score to its inputs by integrated gradients, with the score rebuilt so that it has gradients.

Integrated gradients split the difference between a sample's score and that of a baseline, here the median of normal
samples, among the inputs, so that the parts add up to it. M. Sundararajan, A. Taly, Q. Yan, Axiomatic attribution for
deep networks, ICML 2017; computed by captum.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from vae_pipeline.models.timeseries.network import TimeSeriesVAE
from vae_pipeline.models.vision.network import VisionVAE

__all__ = ["STEPS", "ClipScore", "ResidualScore", "Standard", "WindowScore", "attributed"]

STEPS = 50
"""Points between baseline and sample at which gradients are taken."""

_SMALLEST = 1e-9
_NOTHING = 0.01
_TRUNCATE = 4.0


@dataclass(frozen=True)
class Standard:
    """What makes a score of parts; see `vae_pipeline.calibration.scorers`.

    Attributes:
        weights: of the last rows of a window, shape (late,).
        arrays: what the scorer's ``to_arrays`` gives.
        chosen: which parts are summed: 0 error, 1 level, 2 latent, 3 mean error.
    """

    weights: np.ndarray
    arrays: Mapping[str, np.ndarray]
    chosen: tuple[int, ...]


class _RowsScore(nn.Module):
    def __init__(self, network: TimeSeriesVAE, standard: Standard) -> None:
        super().__init__()
        self.network = network.eval()
        self.chosen = list(standard.chosen)
        self.late = len(standard.weights)
        self.register_buffer("weights", torch.from_numpy(standard.weights.astype(np.float32)))
        for name, values in standard.arrays.items():
            self.register_buffer(f"of_{name}", torch.from_numpy(np.asarray(values, dtype=np.float32)))

    def of(self, name: str) -> Tensor:
        """One of the scorer's arrays."""
        return self.get_buffer(f"of_{name}")

    def summary(self, windows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Late mean of residual and readings, latents and mean squared error of windows (n, channels, time)."""
        posterior = self.network.encode(windows)
        residual = windows - self.network.decode(posterior.mean)
        weights = self.get_buffer("weights")
        level = windows[:, :, -self.late :] @ weights
        return residual[:, :, -self.late :] @ weights, level, posterior.mean, residual.square().mean((1, 2))

    def combined(self, parts: list[Tensor]) -> Tensor:
        """The sum of the chosen parts' standardised logarithms, shape (n,)."""
        logs = torch.log(torch.stack(parts, 1).clamp(min=_SMALLEST))
        return ((logs - self.of("part_mean")) / self.of("part_deviation"))[:, self.chosen].sum(1)


class WindowScore(_RowsScore):
    """Scores of windows (n, channels, time), shape (n,), as `WindowScorer` gives them."""

    def forward(self, windows: Tensor) -> Tensor:
        """The scores."""
        error, level, latent, mean_error = self.summary(windows)
        error_z = (error - self.of("error_mean")) / self.of("error_deviation")
        level_z = (level - self.of("level_mean")) / self.of("level_deviation")
        centred = latent - self.of("latent_mean")
        distance = torch.einsum("ni,ij,nj->n", centred, self.of("latent_precision"), centred)
        return self.combined([torch.log1p(error_z.square()).mean(1), level_z.abs().mean(1), distance, mean_error])


class ClipScore(_RowsScore):
    """Scores of clips, each all of its windows, (n, windows, channels, time), shape (n,), as `ClipScorer` gives."""

    def forward(self, clips: Tensor) -> Tensor:
        """The scores."""
        summaries = self.summary(clips.flatten(0, 1))
        error, level, latent, mean_error = (
            values.unflatten(0, (len(clips), clips.shape[1])).mean(1) for values in summaries
        )
        distances = []
        for name, values in (("error", error), ("level", level), ("latent", latent)):
            centred = values - self.of(f"{name}_mean")
            distances.append(torch.einsum("ni,ij,nj->n", centred, self.of(f"{name}_precision"), centred))
        return self.combined([*distances, mean_error])


class ResidualScore(nn.Module):
    """The residual part of the score of images (n, 3, size, size) in [0, 1], shape (n,), as `MapScorer` gives it.

    Structure and head, the other parts, are left out.
    """

    def __init__(
        self,
        network: VisionVAE,
        *,
        mean: np.ndarray,
        deviation: np.ndarray,
        part: tuple[float, float],
        smoothing: float,
        top: float,
    ) -> None:
        """The score of a network.

        Args:
            network: of images.
            mean: of the residual map on normal images, shape (size, size) or ().
            deviation: what it is divided by, same shape.
            part: mean and deviation of the part's logarithm.
            smoothing: standard deviation of the blur, as a share of the side.
            top: share of the highest pixels whose mean counts.
        """
        super().__init__()
        self.network = network.eval()
        self.part, self.top = part, top
        self.register_buffer("mean", torch.from_numpy(np.asarray(mean, dtype=np.float32)))
        self.register_buffer("deviation", torch.from_numpy(np.asarray(deviation, dtype=np.float32)))
        self.register_buffer("kernel", _gaussian(smoothing * network.shape.size))

    def forward(self, images: Tensor) -> Tensor:
        """The scores."""
        difference = images - self.network.decode(self.network.encode(images).mean)
        flat = difference.flatten(2)
        # numpy's median of an even number is the mean of the two in the middle, torch's the lower of them
        difference = difference - torch.quantile(flat, 0.5, dim=2)[:, :, None, None]
        found = self._blurred(difference.abs().mean(1))
        scaled = ((found - self.get_buffer("mean")) / self.get_buffer("deviation")).clamp(min=0.0).flatten(1)
        highest = scaled.topk(max(1, round(self.top * scaled.shape[1])), dim=1).values.mean(1)
        return (torch.log(highest + _NOTHING) - self.part[0]) / self.part[1]

    def _blurred(self, maps: Tensor) -> Tensor:
        kernel = self.get_buffer("kernel")
        radius, size = len(kernel) // 2, maps.shape[1]
        place = torch.arange(-radius, size + radius).remainder(2 * size)
        mirrored = torch.where(place < size, place, 2 * size - 1 - place)
        padded = maps[:, mirrored][:, :, mirrored].unsqueeze(1)
        rows = nn.functional.conv2d(padded, kernel[None, None, :, None])
        return nn.functional.conv2d(rows, kernel[None, None, None, :]).squeeze(1)


def _gaussian(deviation: float) -> Tensor:
    """SciPy's kernel of this deviation, shape (2 radius + 1,)."""
    if deviation <= 0:
        return torch.ones(1)
    radius = int(_TRUNCATE * deviation + 0.5)
    weights = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / deviation) ** 2)
    return weights / weights.sum()


def attributed(score: nn.Module, sample: np.ndarray, baseline: np.ndarray, steps: int = STEPS) -> np.ndarray:
    """The part of the score's difference from the baseline's that each input accounts for, shape as the sample.

    Args:
        score: gives a score for each of a batch.
        sample: one, without the axis of the batch.
        baseline: a normal one, same shape.
        steps: points on the straight line between the two.
    """
    from captum.attr import IntegratedGradients

    inputs, normal = (torch.from_numpy(np.array(values, dtype=np.float32))[None] for values in (sample, baseline))
    size = max(1, 2**20 // max(1, inputs.numel()))
    found = IntegratedGradients(score).attribute(inputs, normal, n_steps=steps, internal_batch_size=min(size, steps))
    return found[0].detach().numpy().astype(np.float64)
