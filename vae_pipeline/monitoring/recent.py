"""The last answers of a process beside the model's normal calibration samples: a first look, not a verdict.

What decides on drift reads the prediction log, of all processes and with its tests calibrated.
"""

from collections import deque
from typing import NamedTuple

import numpy as np

from vae_pipeline.detector.detector import Judged

__all__ = ["FEWEST", "MOST", "Compared", "Recent"]

FEWEST = 50
MOST = 2_000


class Compared(NamedTuple):
    """Recent scores and latents beside the reference; see `DriftAnswer`."""

    samples: int
    score_mean: float
    statistic: float
    p_value: float
    latent_shift: float | None


class Recent:
    """The last scores and latents of one model."""

    def __init__(self) -> None:
        self._scores: deque[float] = deque(maxlen=MOST)
        self._latents: deque[np.ndarray] = deque(maxlen=MOST)

    def __len__(self) -> int:
        return len(self._scores)

    def add(self, judged: Judged) -> None:
        """Take what was just scored, the last of it if it is much."""
        self._scores.extend(judged.score[-MOST:].tolist())
        self._latents.extend(judged.latent[-MOST:])

    def alarms(self, threshold: float) -> float:
        """Share of the recent scores above ``threshold``."""
        return float((np.array(self._scores) > threshold).mean())

    def compared(self, scores: np.ndarray, latents: np.ndarray | None) -> Compared:
        """Beside normal scores (n,) and latents (n, latent), by the two-sample Kolmogorov-Smirnov test of the scores.

        The p-value holds for independent samples; overlapping windows of one machine are not.
        """
        from scipy.stats import ks_2samp

        recent = np.array(self._scores)
        found = ks_2samp(recent, scores)
        shift = None
        if latents is not None:
            seen = np.stack(list(self._latents))  # a copy at once: others are added meanwhile
            known = np.isfinite(seen).all(axis=1)
            if known.any():
                spread = np.maximum(latents.std(axis=0), 1e-9)
                shift = float((np.abs(seen[known].mean(axis=0) - latents.mean(axis=0)) / spread).max())
        return Compared(len(recent), float(recent.mean()), float(found.statistic), float(found.pvalue), shift)  # type: ignore[attr-defined]
