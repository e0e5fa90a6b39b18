"""Blocks that networks are put together from."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = [
    "ConvolutionDecoder",
    "ConvolutionEncoder",
    "DenseDecoder",
    "DenseEncoder",
    "RecurrentEncoder",
    "TransformerEncoder",
    "halved_lengths",
]


def halved_lengths(length: int, times: int) -> list[int]:
    """The lengths a window passes through when halved (rounding up) ``times`` times, the first included."""
    lengths = [length]
    for _ in range(times):
        lengths.append((lengths[-1] + 1) // 2)
    return lengths


def _normalised(channels: int) -> nn.Module:
    # GroupNorm, not BatchNorm: a normal set may be small, and a score must not depend on its batch. Groups hold at
    # least four channels: over a single value, as at the end of a short window, normalising would leave nothing.
    groups = math.gcd(8, channels, max(1, channels // 4))
    return nn.GroupNorm(groups, channels) if channels > 1 else nn.Identity()


class ConvolutionEncoder(nn.Module):
    """Stride-2 convolutions of kernel 5, one a hidden width; (n, channels, time) to (n, ``features``)."""

    def __init__(self, channels: int, length: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise((channels, *hidden)):
            layers += [nn.Conv1d(before, after, 5, stride=2, padding=2), _normalised(after), nn.GELU()]
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.features = hidden[-1] * halved_lengths(length, len(hidden))[-1]

    def forward(self, windows: Tensor) -> Tensor:
        """Features of windows, shape (n, features)."""
        return self.layers(windows)


class ConvolutionDecoder(nn.Module):
    """The mirror of `ConvolutionEncoder`: upsampling and convolutions; (n, latent) to (n, channels, time)."""

    def __init__(self, channels: int, length: int, hidden: tuple[int, ...], latent: int) -> None:
        super().__init__()
        lengths = halved_lengths(length, len(hidden))
        widths = (*reversed(hidden), hidden[0])
        self.start = (hidden[-1], lengths[-1])
        self.expand = nn.Linear(latent, hidden[-1] * lengths[-1])
        layers: list[nn.Module] = []
        for step, (before, after) in enumerate(pairwise(widths)):
            layers += [nn.Upsample(size=lengths[-2 - step]), nn.Conv1d(before, after, 5, padding=2)]
            layers += [_normalised(after), nn.GELU()]
        self.layers = nn.Sequential(*layers, nn.Conv1d(widths[-1], channels, 1))

    def forward(self, latent: Tensor) -> Tensor:
        """Reconstructed windows."""
        return self.layers(self.expand(latent).unflatten(1, self.start))


class TransformerEncoder(nn.Module):
    """Self-attention over the rows of a window, with learnt positions; the mean over rows are the features."""

    def __init__(self, channels: int, length: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        width = hidden[0]
        self.embed = nn.Linear(channels, width)
        self.position = nn.Parameter(torch.randn(1, length, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, math.gcd(4, width), 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, len(hidden), norm=nn.LayerNorm(width), enable_nested_tensor=False)
        self.features = width

    def forward(self, windows: Tensor) -> Tensor:
        """Features of windows, shape (n, features)."""
        return self.layers(self.embed(windows.transpose(1, 2)) + self.position).mean(1)


class RecurrentEncoder(nn.Module):
    """An LSTM over the rows of a window; its last hidden state are the features."""

    def __init__(self, channels: int, length: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        del length
        self.layers = nn.LSTM(channels, hidden[0], num_layers=min(len(hidden), 2), batch_first=True)
        self.features = hidden[0]

    def forward(self, windows: Tensor) -> Tensor:
        """Features of windows, shape (n, features)."""
        rows, _ = self.layers(windows.transpose(1, 2))
        return rows[:, -1]


class DenseEncoder(nn.Module):
    """Dense layers over the flattened window: for single readings on small devices."""

    def __init__(self, channels: int, length: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in pairwise((channels * length, *hidden)):
            layers += [nn.Linear(before, after), nn.GELU()]
        self.layers = nn.Sequential(*layers)
        self.features = hidden[-1]

    def forward(self, windows: Tensor) -> Tensor:
        """Features of windows, shape (n, features)."""
        return self.layers(windows)


class DenseDecoder(nn.Module):
    """The mirror of `DenseEncoder`."""

    def __init__(self, channels: int, length: int, hidden: tuple[int, ...], latent: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise((latent, *reversed(hidden))):
            layers += [nn.Linear(before, after), nn.GELU()]
        self.layers = nn.Sequential(*layers, nn.Linear(hidden[0], channels * length))
        self.shape = (channels, length)

    def forward(self, latent: Tensor) -> Tensor:
        """Reconstructed windows."""
        return self.layers(latent).unflatten(1, self.shape)
