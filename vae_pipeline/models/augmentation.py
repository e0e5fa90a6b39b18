"""Label-preserving changes of normal windows, applied while training, off by default."""

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["WindowAugmentation"]


@dataclass(frozen=True)
class WindowAugmentation:
    """Noise, magnitude scaling and time warp, each with its strength; strength 0 leaves the window as it is.

    Attributes:
        noise: standard deviation of Gaussian noise added to every scaled value.
        magnitude: standard deviation of one factor a channel, around 1.
        time_warp: depth of a smooth, monotone distortion of time, below 1; the first and last rows stay in place.

    T. T. Um et al., Data augmentation of wearable sensor data, ICMI 2017.
    """

    noise: float = 0.0
    magnitude: float = 0.0
    time_warp: float = 0.0

    def __call__(self, windows: Tensor) -> Tensor:
        """Changed windows, shape as given: (n, channels, time)."""
        if self.time_warp and windows.shape[2] > 2:
            windows = self._warped(windows)
        if self.magnitude:
            windows = windows * (1.0 + self.magnitude * torch.randn(*windows.shape[:2], 1, device=windows.device))
        if self.noise:
            windows = windows + self.noise * torch.randn_like(windows)
        return windows

    def _warped(self, windows: Tensor) -> Tensor:
        n, _, length = windows.shape
        position = torch.linspace(0.0, 1.0, length, device=windows.device)
        # t + a sin(pi k t) / (pi k) is monotone while |a| < 1
        waves = torch.randint(1, 3, (n, 1), device=windows.device)
        depth = self.time_warp * (2.0 * torch.rand(n, 1, device=windows.device) - 1.0)
        warped = position + depth * torch.sin(torch.pi * waves * position) / (torch.pi * waves)
        place = (warped * (length - 1)).clamp(0, length - 1)
        left = place.floor().long().clamp(max=length - 2)
        weight = (place - left).unsqueeze(1)
        index = left.unsqueeze(1).expand(-1, windows.shape[1], -1)
        return windows.gather(2, index) * (1.0 - weight) + windows.gather(2, index + 1) * weight
