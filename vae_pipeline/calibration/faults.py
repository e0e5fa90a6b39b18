"""Synthetic faults of known kind, sensor and size, for choosing a score where calibration has no labels."""

from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np

from vae_pipeline.features.windows import Windows

__all__ = ["FAULTS", "FAULT_SIZE", "Fault", "faulty_batches", "inject", "louder"]

Fault = Literal["spike", "drift", "stuck", "noise"]
FAULTS: tuple[Fault, ...] = get_args(Fault)
FAULT_SIZE = 3.0
"""Of a fault in one sensor that scores are compared by, in healthy standard deviations."""


def faulty_batches(
    windows: Windows, places: np.ndarray, random: np.random.Generator, seed: int = 0
) -> Iterator[np.ndarray]:
    """Some windows, each with a fault of `FAULT_SIZE` in one sensor, every kind in a quarter of them, kind by kind.

    Args:
        windows: scaled.
        places: which of them, shape (n,).
        random: draws the sensors.
        seed: of signs and noise.
    """
    for number, kind in enumerate(FAULTS):
        batch = windows.take(places[number :: len(FAULTS)])
        if len(batch):
            sensor = random.integers(windows.channels, size=len(batch))
            yield inject(batch, kind, sensor, FAULT_SIZE, seed=seed + number)


def inject(windows: np.ndarray, kind: Fault, sensor: np.ndarray, size: float, seed: int = 0) -> np.ndarray:
    """Scaled windows with one fault in one sensor each.

    Args:
        windows: scaled readings, shape (n, channels, time).
        kind: ``spike`` adds ``size`` to the last tenth of the rows, ``drift`` a ramp over the last half that ends at
            ``size``, ``stuck`` holds the last half at ``size``, ``noise`` adds Gaussian noise of deviation ``size``
            to the last half.
        sensor: the channel of each window's fault, shape (n,).
        size: in healthy standard deviations.
        seed: of signs and noise.

    Returns:
        A changed copy, same shape.
    """
    random = np.random.default_rng(seed)
    changed = windows.copy()
    n, _, time = windows.shape
    index = np.arange(n)
    sign = random.choice([-1.0, 1.0], size=(n, 1)) * size
    half = max(1, time // 2)
    if kind == "spike":
        changed[index, sensor, -max(1, time // 10) :] += sign
    elif kind == "drift":
        changed[index, sensor, -half:] += sign * np.linspace(1.0 / half, 1.0, half)
    elif kind == "stuck":
        changed[index, sensor, -half:] = sign
    else:
        changed[index, sensor, -half:] += size * random.standard_normal((n, half))
    return changed


def louder(windows: np.ndarray, band: np.ndarray, size: float) -> np.ndarray:
    """Scaled windows of log-mel frames in which three neighbouring bands are louder throughout, as by a tone.

    Args:
        windows: shape (n, bands, time).
        band: the first of the three in each window, shape (n,); fewer at the upper end.
        size: in standard deviations of the band's normal level.

    Returns:
        A changed copy, same shape.
    """
    distance = np.arange(windows.shape[1])[None, :] - band[:, None]
    lifted = (distance >= 0) & (distance < 3)
    return (windows + size * lifted[:, :, None]).astype(windows.dtype)
