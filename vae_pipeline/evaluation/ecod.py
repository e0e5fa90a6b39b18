"""ECOD: outliers by the tails of every feature's empirical distribution."""

import numpy as np

__all__ = ["Ecod"]


class Ecod:
    """Empirical-cumulative-distribution outlier detection, without parameters.

    A sample's score is the sum over features of the largest of three tail surprises ``-log P``: left, right, and the
    side to which the feature is skewed. The distributions are those of the reference alone. Values beyond its range
    get the tail probability ``1 / (n + 1)``.

    Source: Li et al., ECOD: Unsupervised Outlier Detection Using Empirical Cumulative Distribution Functions, TKDE
    2022. On the reference itself scores equal those of PyOD's ECOD; on new samples PyOD adds these to the reference,
    which makes a score depend on what is scored with it.
    """

    def __init__(self, reference: np.ndarray) -> None:
        """Learn from ``reference``, shape (n, features)."""
        reference = np.asarray(reference, dtype=np.float64)
        self.sorted = np.sort(reference, axis=0)
        centred = reference - reference.mean(axis=0)
        spread = np.sqrt((centred**2).mean(axis=0))
        cubes = (centred**3).mean(axis=0)
        # a constant feature has no skew
        varied = spread > 1e-12 * (1.0 + np.abs(self.sorted[-1]))
        self.side = np.where(varied, np.sign(cubes), 0.0)

    def score(self, features: np.ndarray) -> np.ndarray:
        """Scores of ``features``, shape (n, features), as float64 (n,)."""
        n = len(self.sorted)
        total = np.zeros(len(features))
        for column in range(features.shape[1]):
            values = np.asarray(features[:, column], dtype=np.float64)
            reference = self.sorted[:, column]
            left = _surprise(np.searchsorted(reference, values, side="right"), n)
            right = _surprise(n - np.searchsorted(reference, values, side="left"), n)
            skewed = (left + right, right, left)[int(self.side[column])]
            total += np.maximum(np.maximum(left, right), skewed)
        return total


def _surprise(count: np.ndarray, n: int) -> np.ndarray:
    """Minus the logarithm of the share ``count / n``, of ``1 / (n + 1)`` where nothing was counted."""
    return -np.log(np.where(count > 0, count / n, 1.0 / (n + 1)))
