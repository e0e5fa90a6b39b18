"""Scaling by operating regime: what a sensor normally reads depends on how the machine is run."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vae_pipeline.errors import DataError

__all__ = ["RegimeScaler", "fill_gaps"]

_RESTARTS = 8
_ITERATIONS = 40
_SAMPLE = 20_000
_BLOCK = 16_384
_FLOOR = 1e-3
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class RegimeScaler:
    """Mean and sd of every sensor in every operating regime, from healthy rows of the fit part.

    Attributes:
        setting_mean: centre of the settings, shape (settings,), float64.
        setting_sd: spread of the settings, shape (settings,); 1 where a setting never changes.
        centres: regime centres in standardised settings, shape (regimes, settings).
        mean: shape (regimes, sensors), in the sensors' own units.
        sd: shape (regimes, sensors), above 0.
        clip: scaled values are cut to [-clip, clip], so that one broken reading cannot overflow the network.
    """

    setting_mean: np.ndarray
    setting_sd: np.ndarray
    centres: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    clip: float = 20.0

    @property
    def regimes(self) -> int:
        """Number of regimes; smaller than asked for where the settings take fewer values."""
        return len(self.centres)

    @classmethod
    def fit(
        cls, sensors: np.ndarray, settings: np.ndarray, regimes: int, *, clip: float = 20.0, seed: int = 0
    ) -> "RegimeScaler":
        """Learn regimes by k-means on the standardised settings, then each sensor's mean and sd within them.

        Args:
            sensors: healthy rows of the fit part, shape (n, sensors); NaN and infinities are left out.
            settings: shape (n, settings); ignored when ``regimes`` is 1.
            regimes: how many regimes at most.
            clip: see the class.
            seed: of the k-means restarts; the same rows and seed give the same scaler.

        Raises:
            DataError: there are no rows.
        """
        if len(sensors) == 0:
            msg = "scaling: there are no healthy rows to fit on; check labels and split"
            raise DataError(msg)
        # A column or a block of rows at a time: the arrays may be memory-mapped and larger than memory.
        sensors = np.asanyarray(sensors, dtype=np.float64)
        settings = np.asanyarray(settings, dtype=np.float64).reshape(len(sensors), -1)
        if regimes == 1:
            settings = settings[:, :0]
        setting_mean, setting_sd, _ = _moments(settings)
        setting_sd = np.where(setting_sd > _ROUNDING * np.abs(setting_mean), setting_sd, 1.0)
        known = np.flatnonzero(np.isfinite(settings).all(axis=1))
        if len(known) > _SAMPLE:
            known = known[np.linspace(0, len(known) - 1, _SAMPLE).astype(np.int64)]
        centres = _centres((settings[known] - setting_mean) / setting_sd, regimes, seed)
        nearest = _nearest(settings, setting_mean, setting_sd, centres)

        overall_mean, overall_sd, _ = _moments(sensors)
        # A spread that rounding alone can make is none.
        overall_sd = np.where(overall_sd > _ROUNDING * np.abs(overall_mean), overall_sd, 0.0)
        floor = np.maximum(_FLOOR * overall_sd, np.finfo(np.float64).tiny)
        mean = np.tile(overall_mean, (len(centres), 1))
        sd = np.tile(overall_sd, (len(centres), 1))
        for regime in range(len(centres)):
            regime_mean, regime_sd, count = _moments(sensors, nearest == regime)
            mean[regime] = np.where(count > 0, regime_mean, overall_mean)
            # One row tells no spread: the overall one is the only one known. The floor is for constants alone,
            # because true spreads within a regime can be far under 1e-3 of the spread between regimes.
            varies = regime_sd > _ROUNDING * (np.abs(regime_mean) + overall_sd)
            sd[regime] = np.where(count < 2, overall_sd, np.where(varies, regime_sd, floor))
        sd = np.where(overall_sd > 0, np.maximum(sd, np.finfo(np.float64).tiny), 1.0)
        return cls(setting_mean, setting_sd, centres, mean, sd, clip)

    def regime_of(self, settings: np.ndarray) -> np.ndarray:
        """The nearest regime of each row, shape (n,), int64; a missing setting is left out of the distance."""
        used = len(self.setting_mean)
        return _nearest(
            np.asanyarray(settings, dtype=np.float64)[:, :used], self.setting_mean, self.setting_sd, self.centres
        )

    def restored(self, rows: np.ndarray, settings: np.ndarray) -> np.ndarray:
        """Scaled rows (n, sensors) in the sensors' own units, but for what was clipped or filled, float64.

        Args:
            rows: what `transform` gave.
            settings: of these rows, shape (n, settings).
        """
        regime = self.regime_of(settings)
        return np.asarray(rows, dtype=np.float64) * self.sd[regime] + self.mean[regime]

    def transform(self, sensors: np.ndarray, settings: np.ndarray) -> np.ndarray:
        """Scaled rows, shape (n, sensors), float32; NaN stays NaN (see ``fill_gaps``).

        Raises:
            DataError: the number of columns is not the fitted one.
        """
        if sensors.shape[1] != self.mean.shape[1] or settings.shape[1] < len(self.setting_mean):
            msg = (
                f"scaling: got {sensors.shape[1]} sensors and {settings.shape[1]} settings, fitted on "
                f"{self.mean.shape[1]} and {len(self.setting_mean)}; pass the same columns in the same order"
            )
            raise DataError(msg)
        regime = self.regime_of(settings)
        with np.errstate(over="ignore"):
            scaled = (np.asarray(sensors, dtype=np.float64) - self.mean[regime]) / self.sd[regime]
        return np.clip(scaled, -self.clip, self.clip).astype(np.float32)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All attributes as arrays, for ``np.savez``."""
        return {
            "setting_mean": self.setting_mean,
            "setting_sd": self.setting_sd,
            "centres": self.centres,
            "mean": self.mean,
            "sd": self.sd,
            "clip": np.asarray(self.clip, dtype=np.float64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "RegimeScaler":
        """The scaler that ``to_arrays`` wrote."""
        names = ("setting_mean", "setting_sd", "centres", "mean", "sd")
        return cls(*(np.asarray(arrays[name]) for name in names), clip=float(arrays["clip"]))


def fill_gaps(rows: np.ndarray) -> np.ndarray:
    """The scaled rows of one unit without NaN: the last known value, before the first one 0 (the regime's mean).

    Args:
        rows: shape (n, channels); left as it is.
    """
    missing = np.isnan(rows)
    if not missing.any():
        return rows
    known = np.where(missing, 0, np.arange(len(rows))[:, None])
    filled = np.take_along_axis(rows, np.maximum.accumulate(known, axis=0), axis=0)
    return np.where(np.isnan(filled), rows.dtype.type(0), filled)


def _moments(values: np.ndarray, chosen: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, sd and count of the finite values per column, of the ``chosen`` rows (bool) or all of them."""
    found = np.zeros((3, values.shape[1]))
    for index in range(values.shape[1]):
        column = np.asarray(values[:, index])
        found[:, index] = _column_moments(column if chosen is None else column[chosen])
    return found[0], found[1], found[2].astype(np.int64)


def _column_moments(column: np.ndarray) -> tuple[float, float, int]:
    """Mean, sd and count of the finite values; a constant has exactly its value and sd 0."""
    values = column[np.isfinite(column)]
    if len(values) == 0:
        return 0.0, 0.0, 0
    # Deviations from a value of the column itself: a constant gives exact zeros, large offsets lose no digits.
    first = values[0]
    values -= first
    shift = values.mean()
    values -= shift
    return first + shift, np.sqrt(np.mean(values**2)), len(values)


def _nearest(settings: np.ndarray, mean: np.ndarray, sd: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Index of the nearest centre per row, block by block; a missing setting is left out of the distance."""
    nearest = np.empty(len(settings), dtype=np.int64)
    for first in range(0, len(settings), _BLOCK):
        standard = (np.asarray(settings[first : first + _BLOCK]) - mean) / sd
        distance = np.empty((len(standard), len(centres)))
        for index, centre in enumerate(centres):
            distance[:, index] = np.nansum((standard - centre) ** 2, axis=1)
        nearest[first : first + _BLOCK] = distance.argmin(axis=1)
    return nearest


def _centres(standard: np.ndarray, regimes: int, seed: int) -> np.ndarray:
    """K-means centres, best of several seeded restarts, in lexicographic order so that ties of naming cannot arise."""
    distinct = np.unique(standard.round(9), axis=0) if standard.shape[1] else standard[:1]
    if len(distinct) == 0:
        return np.zeros((1, standard.shape[1]))
    if len(distinct) <= regimes:
        return distinct
    if regimes == 1:
        return standard.mean(axis=0, keepdims=True)
    from scipy.cluster.vq import ClusterError, kmeans2

    best, best_inertia = None, np.inf
    for restart in range(_RESTARTS):
        try:
            centres, nearest = kmeans2(
                standard,
                regimes,
                iter=_ITERATIONS,
                minit="++",
                missing="raise",
                rng=np.random.default_rng([seed, restart]),
            )
        except ClusterError:  # a cluster ran empty; another start does not
            continue
        inertia = float(((standard - centres[nearest]) ** 2).sum())
        if inertia < best_inertia * (1 - 1e-9):
            best, best_inertia = centres, inertia
    if best is None:
        return _centres(standard, regimes - 1, seed)
    return best[np.lexsort(best.T[::-1])]
