"""Mean and covariance of rows that come in batches, in memory that does not grow with their number."""

import numpy as np

__all__ = ["RunningMoments"]


class RunningMoments:
    """Running mean and covariance, merged batch by batch.

    Chan, Golub & LeVeque, Updating formulae and a pairwise algorithm for computing sample variances, 1979.
    """

    def __init__(self, dimensions: int) -> None:
        self.count = 0
        self.mean = np.zeros(dimensions)
        self._scatter = np.zeros((dimensions, dimensions))

    def add(self, rows: np.ndarray) -> None:
        """Take in rows of shape (n, dimensions)."""
        if not len(rows):
            return
        rows = rows.astype(np.float64)
        mean = rows.mean(0)
        centred = rows - mean
        shift = mean - self.mean
        total = self.count + len(rows)
        self._scatter += centred.T @ centred + np.outer(shift, shift) * (self.count * len(rows) / total)
        self.mean = self.mean + shift * (len(rows) / total)
        self.count = total

    @property
    def covariance(self) -> np.ndarray:
        """Covariance with divisor n, shape (dimensions, dimensions); zeros before any row."""
        return self._scatter / max(self.count, 1)

    @property
    def deviation(self) -> np.ndarray:
        """Standard deviations, shape (dimensions,)."""
        return np.sqrt(np.diag(self.covariance))
