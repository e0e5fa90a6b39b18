"""How surprising a score is, in nats: scores of any kind on one scale, so that they can be put together.

The surprise of a score is -log of the share of normal samples that reach it. That share is counted up to where ten
different samples are left; above that it falls off exponentially with their mean excess (J. Pickands, Statistical
inference using extreme order statistics, 1975, with shape 0). So no score is too high to be told from a higher one.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vae_pipeline.errors import CalibrationError

__all__ = ["Surprise"]

TAIL = 10
"""Different normal scores that make the tail."""
FEWEST = 20
KNOTS = 201
_SMALLEST = 1e-9


@dataclass(frozen=True)
class Surprise:
    """Scores to surprise.

    Attributes:
        knots: scores, rising, shape (n_knots,); the last is where the tail begins.
        values: surprise of each, rising, same shape.
        excess: mean of how far normal scores of the tail lie above its beginning.
    """

    knots: np.ndarray
    values: np.ndarray
    excess: float

    @staticmethod
    def fit(normal: np.ndarray) -> "Surprise":
        """The scale of normal scores, shape (n,).

        Raises:
            CalibrationError: there are fewer than 20 or one is not finite.
        """
        if len(normal) < FEWEST or not np.isfinite(normal).all():
            msg = f"{len(normal)} normal scores, {FEWEST} finite ones are needed to tell how rare a score is"
            raise CalibrationError(msg)
        different = len(np.unique(normal))
        # even steps of surprise, so that rare scores are told apart as finely as common ones
        shares = -np.expm1(-np.linspace(0.0, np.log(max(2.0, different / TAIL)), KNOTS))
        knots = np.quantile(normal, shares)
        tail = normal[normal > knots[-1]] - knots[-1]
        spread = float(np.std(normal))
        excess = max(float(tail.mean()) if len(tail) else 0.0, 1e-3 * spread, _SMALLEST)
        # equal scores are one knot: the highest share of them counts
        kept = np.append(np.diff(knots) > 0, True)
        return Surprise(knots[kept], -np.log1p(-shares[kept]), excess)

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Surprise of scores in nats, shape as given; a score never surprises less than a lower one."""
        scores = np.asarray(scores, dtype=np.float64)
        within = np.interp(scores, self.knots, self.values)
        beyond = self.values[-1] + (scores - self.knots[-1]) / self.excess
        return np.where(scores > self.knots[-1], beyond, within)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """What `from_arrays` takes."""
        return {
            "knots": self.knots,
            "values": self.values,
            "excess": np.array(self.excess),
        }

    @staticmethod
    def from_arrays(arrays: Mapping[str, np.ndarray]) -> "Surprise":
        """The scale whose arrays these are."""
        return Surprise(arrays["knots"], arrays["values"], float(arrays["excess"]))
