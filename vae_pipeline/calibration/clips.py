"""From the averages over a recording to one number.

The parts are those of a window's score (see `vae_pipeline.calibration.scorers`), of averages over the whole clip:
what varies within a recording cancels, what lasts stays. A fault of a machine may move few of the many bands, and
bands move together, so ``error``, ``level`` and ``latent`` are Mahalanobis distances from the normal clips.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from vae_pipeline.calibration.scorers import PARTS, Summary
from vae_pipeline.errors import CalibrationError

__all__ = ["ClipScorer", "shrunk_covariance"]

_SMALLEST = 1e-9
_LEAST_DEVIATION = 0.1
"""Of a logarithmic part over normal clips: few may lie together by chance."""

_DISTANCES = ("error", "level", "latent")


def shrunk_covariance(rows: np.ndarray) -> np.ndarray:
    """Covariance drawn towards a multiple of the identity, by as much as few rows ask for, shape (d, d).

    O. Ledoit, M. Wolf, A well-conditioned estimator for large-dimensional covariance matrices, 2004.

    Args:
        rows: shape (n, d), at least two.
    """
    count, dimensions = rows.shape
    centred = rows - rows.mean(0)
    covariance = centred.T @ centred / count
    level = np.trace(covariance) / dimensions
    squares = np.sum(covariance**2)
    spread = max(float(squares / dimensions - level**2), 0.0)
    noise = (np.sum((centred**2).T @ (centred**2)) / count - squares) / (dimensions * count)
    weight = min(max(float(noise), 0.0), spread) / spread if spread > 0 else 1.0
    return (1.0 - weight) * covariance + weight * level * np.eye(dimensions)


@dataclass(frozen=True)
class ClipScorer:
    """Averages of clips to parts, parts to a score.

    Attributes:
        late: rows of a window that were averaged.
        means, precisions: of ``error``, ``level`` and ``latent`` over normal clips, shapes (d,) and (d, d).
        form: the parts that are summed.
        part_mean, part_deviation: of every part's logarithm over normal clips, in the order of `PARTS`.
    """

    late: int
    means: dict[str, np.ndarray]
    precisions: dict[str, np.ndarray]
    form: tuple[str, ...] = PARTS
    part_mean: np.ndarray = field(default_factory=lambda: np.zeros(len(PARTS)))
    part_deviation: np.ndarray = field(default_factory=lambda: np.ones(len(PARTS)))

    @staticmethod
    def fit(normal: Summary, late: int) -> "ClipScorer":
        """Statistics of normal clips.

        Raises:
            CalibrationError: there are fewer than two.
        """
        if len(normal.latent) < 2:
            msg = "statistics of clips need at least two normal ones; add some"
            raise CalibrationError(msg)
        precisions = {}
        for name in _DISTANCES:
            covariance = shrunk_covariance(getattr(normal, name))
            ridge = 1e-6 * max(float(np.trace(covariance)) / len(covariance), _SMALLEST)
            precisions[name] = np.linalg.inv(covariance + ridge * np.eye(len(covariance)))
        return ClipScorer(late, {name: getattr(normal, name).mean(0) for name in _DISTANCES}, precisions)

    def parts(self, summary: Summary) -> np.ndarray:
        """The logarithm of every part, in the order of `PARTS`, shape (n, 4)."""
        values = []
        for name in _DISTANCES:
            centred = getattr(summary, name) - self.means[name]
            values.append(np.einsum("ni,ij,nj->n", centred, self.precisions[name], centred, optimize=True))
        return np.log(np.maximum(np.stack([*values, summary.mean_error], axis=1), _SMALLEST))

    def standardised(self, normal_parts: np.ndarray) -> "ClipScorer":
        """The scorer with part means and deviations of normal clips, shape (n, 4)."""
        deviation = np.maximum(normal_parts.std(0), _LEAST_DEVIATION)
        return replace(self, part_mean=normal_parts.mean(0), part_deviation=deviation)

    def combine(self, parts: np.ndarray) -> np.ndarray:
        """The score of each clip, shape (n,): the sum of the standardised parts of the form."""
        chosen = [PARTS.index(name) for name in self.form]
        return ((parts[:, chosen] - self.part_mean[chosen]) / self.part_deviation[chosen]).sum(1)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All arrays by name, for an ``.npz`` file."""
        return {
            "part_mean": self.part_mean,
            "part_deviation": self.part_deviation,
            **{f"{name}_mean": values for name, values in self.means.items()},
            **{f"{name}_precision": values for name, values in self.precisions.items()},
        }

    @staticmethod
    def from_arrays(arrays: dict[str, np.ndarray], late: int, form: tuple[str, ...]) -> "ClipScorer":
        """The scorer that `to_arrays` wrote."""
        means = {name: arrays[f"{name}_mean"] for name in _DISTANCES}
        precisions = {name: arrays[f"{name}_precision"] for name in _DISTANCES}
        return ClipScorer(late, means, precisions, form, arrays["part_mean"], arrays["part_deviation"])
