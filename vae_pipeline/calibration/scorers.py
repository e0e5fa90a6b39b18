"""From a window and its reconstruction to one number.

Four parts are computed for every window, the first two from an average over its last ``late`` rows that weighs the
newest most:

- ``error``: how far the late mean of the residual lies from its healthy distribution,
- ``level``: the same for the late mean of the scaled readings themselves,
- ``latent``: the Mahalanobis distance of the posterior mean to the healthy latents,
- ``mean_error``: the mean squared error over the whole window, which one sensor far off moves most.

Averaging before squaring removes noise that a mean of squares keeps. With z the late mean in units of its healthy
standard deviation, ``error`` is the mean over sensors of ``log(1 + z²)``, up to a factor the negative log-likelihood of
a Cauchy distribution: many sensors that deviate a little count for more than one that deviates a lot. ``level`` is the
mean of ``|z|``, which the size of a deviation moves more. The logarithm of each part is standardised by its mean and
standard deviation over the normal calibration windows, and the score is the sum over the chosen parts.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from vae_pipeline.calibration.moments import RunningMoments
from vae_pipeline.errors import CalibrationError

__all__ = [
    "PARTS",
    "SMALLEST_DEVIATION",
    "HealthyStatistics",
    "Observation",
    "Summary",
    "WindowScorer",
    "averaged",
    "late_weights",
    "summarised",
]

PARTS = ("error", "level", "latent", "mean_error")

SMALLEST_DEVIATION = 0.1
"""Floor of late deviations, in a sensor's healthy standard deviations: of a sensor that stood still while all was well
nothing is known, and the network's own noise on it must not count as a deviation."""

_SMALLEST = 1e-9


class Observation(NamedTuple):
    """What the network makes of a batch of windows.

    Attributes:
        windows: scaled readings, shape (n, channels, time).
        reconstruction: same shape.
        latent: posterior means, shape (n, latent).
    """

    windows: np.ndarray
    reconstruction: np.ndarray
    latent: np.ndarray


class Summary(NamedTuple):
    """What the score needs of windows, or, averaged, of whole units such as recordings.

    Attributes:
        error: late mean of the residual of every sensor, shape (n, channels).
        level: late mean of the readings, same shape.
        latent: posterior means, shape (n, latent).
        mean_error: mean squared error over the whole window, shape (n,).
    """

    error: np.ndarray
    level: np.ndarray
    latent: np.ndarray
    mean_error: np.ndarray


def summarised(batch: Observation, late: int) -> Summary:
    """The summary of each window of a batch."""
    weights = late_weights(late)
    level = batch.windows[:, :, -late:] @ weights
    error = level - batch.reconstruction[:, :, -late:] @ weights
    n, channels, time = batch.windows.shape
    residual = (batch.windows - batch.reconstruction).reshape(n, channels * time)
    return Summary(error, level, batch.latent, np.einsum("ni,ni->n", residual, residual) / residual.shape[1])


def averaged(batches: Iterable[tuple[Observation, np.ndarray]], late: int) -> tuple[np.ndarray, Summary]:
    """The units in rising order of their codes, and the mean over each one's windows.

    Averages are taken before anything is squared: what varies within a unit cancels, what lasts stays. Memory grows
    with the number of units alone.

    Args:
        batches: observations with the code of each window's unit, shape (n,).
        late: rows at the window's end that are averaged.

    Raises:
        CalibrationError: there is no window.
    """
    sums: dict[int, list[np.ndarray | float]] = {}
    for batch, units in batches:
        summary = summarised(batch, late)
        for code in np.unique(units):
            mine = units == code
            added = [np.asarray(values[mine].sum(0, dtype=np.float64)) for values in summary]
            known = sums.get(int(code))
            count = float(mine.sum())
            sums[int(code)] = (
                [count, *added]
                if known is None
                else [known[0] + count, *(a + b for a, b in zip(known[1:], added, strict=True))]
            )
    if not sums:
        msg = "there is no window to average; shorten window.length"
        raise CalibrationError(msg)
    codes = sorted(sums)
    columns = [np.stack([np.asarray(sums[code][place]) / sums[code][0] for code in codes]) for place in range(1, 5)]
    return np.array(codes), Summary(*columns)


def late_weights(late: int) -> np.ndarray:
    """Weights of the last ``late`` rows, rising linearly to the newest, sum 1, shape (late,), float32."""
    ramp = np.arange(1, late + 1, dtype=np.float64)
    return (ramp / ramp.sum()).astype(np.float32)


@dataclass(frozen=True)
class HealthyStatistics:
    """What late means and latents look like while all is well; fitted on normal windows of the fit part only.

    Attributes:
        error_mean, error_deviation, level_mean, level_deviation: shape (channels,).
        latent_mean: shape (latent,).
        latent_precision: inverse covariance of the latents, shape (latent, latent).
    """

    error_mean: np.ndarray
    error_deviation: np.ndarray
    level_mean: np.ndarray
    level_deviation: np.ndarray
    latent_mean: np.ndarray
    latent_precision: np.ndarray


@dataclass(frozen=True)
class WindowScorer:
    """Windows to parts, parts to a score.

    Attributes:
        late: rows at the end of a window that are averaged.
        healthy: fitted statistics.
        form: the parts that are summed.
        part_mean, part_deviation: of every part's logarithm over normal calibration windows, in the order of `PARTS`.
    """

    late: int
    healthy: HealthyStatistics
    form: tuple[str, ...] = ("error", "level", "latent")
    part_mean: np.ndarray = field(default_factory=lambda: np.zeros(len(PARTS)))
    part_deviation: np.ndarray = field(default_factory=lambda: np.ones(len(PARTS)))

    @staticmethod
    def fit(batches: Iterable[Observation], late: int) -> "WindowScorer":
        """Statistics of healthy observations, gathered in one pass and constant memory.

        Raises:
            CalibrationError: there are fewer than two windows.
        """
        moments: tuple[RunningMoments, RunningMoments, RunningMoments] | None = None
        for batch in batches:
            rows = summarised(batch, late)[:3]
            if moments is None:
                error, level, latent = (RunningMoments(values.shape[1]) for values in rows)
                moments = (error, level, latent)
            for moment, values in zip(moments, rows, strict=True):
                moment.add(values)
        if moments is None or moments[0].count < 2:
            msg = "residual statistics need at least two healthy windows of the fit part; shorten window.length"
            raise CalibrationError(msg)
        error, level, latent = moments
        ridge = 1e-6 * max(float(np.trace(latent.covariance)) / len(latent.mean), _SMALLEST)
        return WindowScorer(
            late=late,
            healthy=HealthyStatistics(
                error_mean=error.mean,
                error_deviation=np.maximum(error.deviation, SMALLEST_DEVIATION),
                level_mean=level.mean,
                level_deviation=np.maximum(level.deviation, SMALLEST_DEVIATION),
                latent_mean=latent.mean,
                latent_precision=np.linalg.inv(latent.covariance + ridge * np.eye(len(latent.mean))),
            ),
        )

    def parts(self, batch: Observation) -> np.ndarray:
        """The logarithm of every part, in the order of `PARTS`, shape (n, 4)."""
        summary = summarised(batch, self.late)
        error_z, level_z = self._deviations(summary)
        error, level = np.log1p(np.square(error_z)).mean(1), np.abs(level_z).mean(1)
        centred = summary.latent - self.healthy.latent_mean
        distance = np.einsum("ni,ij,nj->n", centred, self.healthy.latent_precision, centred, optimize=True)
        values = np.stack([error, level, distance, summary.mean_error], axis=1)
        return np.log(np.maximum(values, _SMALLEST))

    def deviations(self, batch: Observation) -> tuple[np.ndarray, np.ndarray]:
        """Standardised late residual and late level of every sensor, each of shape (n, channels).

        They say which sensor deviates, and in which direction.
        """
        return self._deviations(summarised(batch, self.late))

    def _deviations(self, summary: Summary) -> tuple[np.ndarray, np.ndarray]:
        healthy = self.healthy
        return (
            (summary.error - healthy.error_mean) / healthy.error_deviation,
            (summary.level - healthy.level_mean) / healthy.level_deviation,
        )

    def standardised(self, normal_parts: np.ndarray) -> "WindowScorer":
        """The scorer with part means and deviations of normal calibration windows, shape (n, 4).

        Raises:
            CalibrationError: there are none.
        """
        if not len(normal_parts):
            msg = "the calibration part has no normal window; raise split.calibrate"
            raise CalibrationError(msg)
        return replace(self, part_mean=normal_parts.mean(0), part_deviation=np.maximum(normal_parts.std(0), 1e-6))

    def combine(self, parts: np.ndarray) -> np.ndarray:
        """The score of each window, shape (n,): the sum of the standardised parts of the form."""
        chosen = [PARTS.index(name) for name in self.form]
        z = (parts[:, chosen] - self.part_mean[chosen]) / self.part_deviation[chosen]
        return z.sum(1)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All arrays by name, for an ``.npz`` file."""
        return {
            "part_mean": self.part_mean,
            "part_deviation": self.part_deviation,
            **{name: getattr(self.healthy, name) for name in HealthyStatistics.__dataclass_fields__},
        }

    @staticmethod
    def from_arrays(arrays: dict[str, np.ndarray], late: int, form: tuple[str, ...]) -> "WindowScorer":
        """The scorer that `to_arrays` wrote."""
        healthy = HealthyStatistics(**{name: arrays[name] for name in HealthyStatistics.__dataclass_fields__})
        return WindowScorer(late, healthy, form, arrays["part_mean"], arrays["part_deviation"])
