"""Which sensor, and when: each sensor's window against what normal calibration samples show.

Three values of every sensor, over the last ``late`` rows, the newest weighing most, as in the score:

- ``change``: mean distance of the readings from the window's own median: what began within the window,
- ``residual``: mean difference of readings and reconstruction,
- ``level``: mean reading.

Each is taken from its median over normal samples and divided by what that distance exceeds once in a hundred times.
``residual`` and ``level`` also find what has lasted longer than the window; but where a machine is run otherwise than
when it was fitted, they stand off in sensors that have no part in the anomaly. So the larger of the two, s, adds at
most one half, s / (1 + 2 s), to the excess of ``change`` over 1: a sensor that has just changed comes before one that
has long stood elsewhere, and without any change the order is that of s.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vae_pipeline.calibration.scorers import Observation, late_weights
from vae_pipeline.errors import CalibrationError
from vae_pipeline.explanation.explanation import SensorEvidence

__all__ = ["MEASURES", "PROFILED", "NormalSensors", "course", "measured", "ranked", "span"]

MEASURES = ("change", "residual", "level")

PROFILED = 8
"""Sensors whose course over the window is told, the first of the ranking."""

_RARE = 0.99
_LEAST = 0.05
"""Floor of what is rare, in healthy standard deviations: a sensor that stood still while all was well is no evidence
before it moves by more than the network's own noise on it."""


def measured(batch: Observation, late: int) -> np.ndarray:
    """`MEASURES` of every window and sensor, shape (n, 3, channels)."""
    weights = late_weights(late)
    windows = batch.windows
    change = np.abs(windows[:, :, -late:] - np.median(windows, axis=2, keepdims=True)) @ weights
    level = windows[:, :, -late:] @ weights
    return np.stack([change, level - batch.reconstruction[:, :, -late:] @ weights, level], axis=1)


@dataclass(frozen=True)
class NormalSensors:
    """What `measured` gives on normal calibration samples.

    Attributes:
        centre: medians, shape (3, channels).
        rare: distance from them that one normal sample in a hundred exceeds, same shape.
        row: the same of a single row's residual, shape (channels,).
    """

    centre: np.ndarray
    rare: np.ndarray
    row: np.ndarray

    @staticmethod
    def fit(values: np.ndarray, row: np.ndarray) -> "NormalSensors":
        """Statistics of `measured` values of normal samples, (n, 3, channels), and their rows' scale, see `course`.

        Raises:
            CalibrationError: there are none.
        """
        if not len(values):
            msg = "explanations need a normal calibration sample; raise split.calibrate"
            raise CalibrationError(msg)
        centre = np.median(values, axis=0)
        rare = np.quantile(np.abs(values - centre), _RARE, axis=0)
        return NormalSensors(centre, np.maximum(rare, _LEAST), row)

    @staticmethod
    def of_windows(batches: Iterable[Observation], late: int) -> "NormalSensors":
        """Statistics of normal windows; what is kept of each is small.

        Raises:
            CalibrationError: there are none.
        """
        values, rows = [], []
        for batch in batches:
            values.append(measured(batch, late))
            rows.append(rare_rows(batch))
        if not values:
            return NormalSensors.fit(np.empty((0, len(MEASURES), 0)), np.empty(0))
        return NormalSensors.fit(np.concatenate(values), np.mean(rows, axis=0))

    @staticmethod
    def of_units(batches: Iterable[tuple[Observation, np.ndarray]], late: int) -> "NormalSensors":
        """Statistics of whole normal units such as recordings: of the averages over each one's windows.

        Args:
            batches: observations with the code of each window's unit, shape (n,).
            late: rows at the window's end that are averaged.

        Raises:
            CalibrationError: there are none.
        """
        sums: dict[int, np.ndarray] = {}
        counts: dict[int, int] = {}
        rows = []
        for batch, units in batches:
            values = measured(batch, late)
            rows.append(rare_rows(batch))
            for code in np.unique(units).tolist():
                mine = units == code
                sums[code] = sums.get(code, 0.0) + values[mine].sum(0, dtype=np.float64)
                counts[code] = counts.get(code, 0) + int(mine.sum())
        if not sums:
            return NormalSensors.fit(np.empty((0, len(MEASURES), 0)), np.empty(0))
        means = np.stack([sums[code] / counts[code] for code in sums])
        return NormalSensors.fit(means, np.mean(rows, axis=0))

    def standardised(self, values: np.ndarray) -> np.ndarray:
        """`measured` values in units of what is rare, signed, shape as given."""
        return (values - self.centre) / self.rare

    def evidence(self, standardised: np.ndarray) -> np.ndarray:
        """What speaks against each sensor, (n, channels), 0 and more, from `standardised` values (n, 3, channels)."""
        change, residual, level = np.moveaxis(standardised, 1, 0)
        standing = np.maximum(np.abs(residual), np.abs(level))
        return np.maximum(change - 1.0, 0.0) + standing / (1.0 + 2.0 * standing)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All arrays by name, for an ``.npz`` file."""
        return {"centre": self.centre, "rare": self.rare, "row": self.row}

    @staticmethod
    def from_arrays(arrays: dict[str, np.ndarray]) -> "NormalSensors":
        """What `to_arrays` wrote."""
        return NormalSensors(arrays["centre"], arrays["rare"], arrays["row"])


def rare_rows(batch: Observation) -> np.ndarray:
    """What the residual of one row in a hundred exceeds, for every sensor, shape (channels,)."""
    residual = np.abs(batch.windows - batch.reconstruction)
    return np.maximum(np.quantile(residual, _RARE, axis=(0, 2)), _LEAST)


def ranked(names: tuple[str, ...], values: np.ndarray, normal: NormalSensors) -> list[SensorEvidence]:
    """Sensors of one sample, the one with most evidence first.

    Args:
        names: of the channels.
        values: what `measured` gives, shape (3, channels).
        normal: statistics of normal samples.
    """
    standardised = normal.standardised(values)
    evidence = normal.evidence(standardised[None])[0]
    whole = float(evidence.sum())
    return [
        SensorEvidence(
            name=names[place],
            evidence=float(evidence[place]),
            share=float(evidence[place]) / whole if whole > 0 else 0.0,
            change=float(standardised[0, place]),
            residual=float(standardised[1, place]),
            level=float(standardised[2, place]),
        )
        for place in np.argsort(-evidence, kind="stable").tolist()
    ]


def course(
    sensors: list[SensorEvidence], names: tuple[str, ...], window: np.ndarray, expected: np.ndarray, row: np.ndarray
) -> tuple[SensorEvidence, ...]:
    """The sensors with their course over the window: profiles of the first, start and end of all.

    Args:
        sensors: as `ranked` gives them.
        names: of the channels.
        window: scaled readings, shape (channels, time).
        expected: their reconstruction, same shape.
        row: what the residual of a normal row exceeds once in a hundred times, shape (channels,).
    """
    profiles = (window - expected) / row[:, None]
    found = []
    for rank, sensor in enumerate(sensors):
        place = names.index(sensor.name)
        start, end = span(profiles[place]) or (None, None)
        told: dict[str, object] = {"start": start, "end": end}
        if rank < PROFILED:
            courses = {"profile": profiles, "readings": window, "expected": expected}
            told |= {name: tuple(_short(values[place])) for name, values in courses.items()}
        found.append(sensor.model_copy(update=told))
    return tuple(found)


def span(profile: np.ndarray) -> tuple[int, int] | None:
    """First and last row of the run around the highest row where the profile stands out; None where it does not.

    A row stands out where the mean of the profile's size over a tenth of the window around it exceeds 1.

    Args:
        profile: shape (time,).
    """
    width = max(1, len(profile) // 10)
    kernel = np.ones(width)
    around = np.convolve(np.ones(len(profile)), kernel, "same")
    size = np.convolve(np.abs(profile), kernel, "same") / around
    highest = int(size.argmax())
    if size[highest] <= 1.0:
        return None
    quiet = np.flatnonzero(size <= 1.0)
    before, after = quiet[quiet < highest], quiet[quiet > highest]
    return (int(before[-1]) + 1 if len(before) else 0, int(after[0]) - 1 if len(after) else len(profile) - 1)


def _short(values: np.ndarray) -> list[float]:
    """Four digits: a course is looked at, not calculated with."""
    return [float(f"{value:.4g}") for value in values.tolist()]
