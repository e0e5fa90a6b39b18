"""From an image and its reconstruction to a map of how anomalous each pixel is, and from the map to one number.

Three kinds of evidence, each a map at the size the network works at:

- ``residual``: the absolute difference of image and reconstruction, the median difference of each channel taken off
  first, so that a picture that is lighter as a whole is no anomaly,
- ``structure``: 1 - contrast and structure of SSIM (Z. Wang et al., 2004), blind to light and to shades,
- ``head``: the log-odds of the segmentation head.

Each is blurred and standardised by what normal calibration images show: pixel by pixel where objects lie alike
(placement ``pixel``), over the whole image where they do not (``image``). What a pixel of a normal image exceeds once
in a hundred times is 1 on every map, so that maps can be added to one that is shown.

The score is taken as the windows' is: the mean over the highest pixels of each map, its logarithm standardised over
normal calibration images, and the sum over the chosen maps.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from vae_pipeline.errors import CalibrationError
from vae_pipeline.features.blur import blurred

__all__ = ["MAPS", "ImageObservation", "MapScorer", "NormalMaps", "evidence"]

MAPS = ("residual", "structure", "head")

_ODDS = 12.0
_STABLE = 0.03**2  # of SSIM's second constant, for values in [0, 1]
_STRUCTURE_BLUR = 1.5
_FLOOR = 0.1
"""Least deviation of a pixel, as a share of that over all pixels: one that never changed tells no spread."""
_COMMON = 0.99
_SMALLEST = 1e-6
_LEAST_DEVIATION = 0.05
_GROUPS = 4
"""Groups for each value that is kept: with more of them more is left to be ordered, with fewer the bound is low."""
_NOTHING = 0.01
"""Added before the logarithm, in units of a map: less than that is nothing unusual."""


class ImageObservation(NamedTuple):
    """What the network makes of a batch of images.

    Attributes:
        images: uint8, shape (n, size, size, 3).
        reconstruction: in [0, 1], same shape, float32.
        latent: posterior means, shape (n, latent).
        segmentation: log-odds of the head, shape (n, size, size); None without a head.
    """

    images: np.ndarray
    reconstruction: np.ndarray
    latent: np.ndarray
    segmentation: np.ndarray | None


def evidence(batch: ImageObservation, smoothing: float, names: tuple[str, ...] = MAPS) -> np.ndarray:
    """Blurred maps, shape (n, len(names), size, size), float32; the head's is 0 without a head.

    Args:
        batch: observed images.
        smoothing: standard deviation of the blur, as a share of the side.
        names: of `MAPS`, in the order wanted; no other is made.
    """
    n, height, width, _ = batch.images.shape
    found = np.zeros((n, len(names), height, width), dtype=np.float32)
    if "head" in names and batch.segmentation is not None:
        found[:, names.index("head")] = np.clip(batch.segmentation, -_ODDS, _ODDS)
    if "residual" in names or "structure" in names:
        images, reconstruction = _planes(batch.images) / np.float32(255), _planes(batch.reconstruction)
        if "structure" in names:
            found[:, names.index("structure")] = _structure(images.mean(1), reconstruction.mean(1))
        if "residual" in names:
            difference = np.subtract(images, reconstruction, out=images)
            difference -= _medians(difference)
            found[:, names.index("residual")] = np.abs(difference, out=difference).mean(1)
    return blurred(found, smoothing * height)


def _planes(images: np.ndarray) -> np.ndarray:
    """Images (n, height, width, channels) channel by channel, float32 (n, channels, height, width).

    Whatever runs over channels takes a tenth of the time on whole planes.
    """
    return images.transpose(0, 3, 1, 2).astype(np.float32, order="C")


def _structure(image: np.ndarray, reconstruction: np.ndarray) -> np.ndarray:
    moments = np.stack([image, reconstruction, image**2, reconstruction**2, image * reconstruction])
    mean, other_mean, square, other_square, product = blurred(moments, _STRUCTURE_BLUR)
    variance, other_variance = square - mean**2, other_square - other_mean**2
    shared = product - mean * other_mean
    return 1.0 - (2.0 * shared + _STABLE) / (variance + other_variance + _STABLE)


def _medians(planes: np.ndarray) -> np.ndarray:
    """Median of each plane, shape (n, channels, 1, 1); `numpy.median` takes three times as long."""
    n, channels, height, width = planes.shape
    middle = height * width // 2
    ordered = np.partition(planes.reshape(n, channels, height * width), middle, axis=-1)
    upper = ordered[..., middle]
    lower = upper if height * width % 2 else ordered[..., :middle].max(-1)
    return ((lower + upper) / 2)[..., None, None]


def _mean_of_highest(values: np.ndarray, kept: int) -> float:
    """The mean of the highest ``kept`` of some values, shape (n,).

    The values are put into groups. As many groups as are kept reach ``least`` with their highest value, so no smaller
    value is among those kept, and few are left to be ordered. `numpy.partition` takes up to sixty times as long on
    maps, whose long slopes and many zeros are the worst it can meet.
    """
    groups = min(len(values), _GROUPS * kept)
    size = len(values) // groups
    least = np.sort(values[: groups * size].reshape(size, groups).max(0))[-kept]
    higher = np.sort(values[values > least])[-kept:]
    return float((higher.sum(dtype=np.float64) + (kept - len(higher)) * np.float64(least)) / kept)


@dataclass(frozen=True)
class NormalMaps:
    """What maps look like on normal images.

    Attributes:
        mean, deviation: pixel by pixel, shape (3, size, size), float32.
        overall_mean, overall_deviation: over all pixels, shape (3,).
    """

    mean: np.ndarray
    deviation: np.ndarray
    overall_mean: np.ndarray
    overall_deviation: np.ndarray

    def of(self, places: list[int]) -> "NormalMaps":
        """The same of some maps, in the order of their places."""
        return NormalMaps(*(getattr(self, name)[places] for name in NormalMaps.__dataclass_fields__))

    @staticmethod
    def fit(batches: Iterable[np.ndarray]) -> "NormalMaps":
        """Means and deviations of maps that come in batches of shape (n, 3, size, size), in one pass.

        Raises:
            CalibrationError: there are fewer than two images.
        """
        count, total, squares = 0, np.zeros(1), np.zeros(1)
        first: np.ndarray | None = None
        for batch in batches:
            if first is None:  # a first guess of the mean keeps the sum of squares from cancelling
                first = batch[:1].mean(0, dtype=np.float64)
                total, squares = np.zeros_like(first), np.zeros_like(first)
            shifted = batch - first
            total += shifted.sum(0)
            squares += (shifted**2).sum(0)
            count += len(batch)
        if first is None or count < 2:
            msg = "map statistics need at least two normal calibration images; raise split.calibrate"
            raise CalibrationError(msg)
        mean = total / count
        variance = np.maximum(squares / count - mean**2, 0.0)
        level = (first + mean).mean((1, 2))
        overall = np.sqrt((variance + (first + mean - level[:, None, None]) ** 2).mean((1, 2)))
        # neighbours share their statistics: few images say little of a single pixel
        deviation = np.sqrt(blurred(variance, 1.0))
        floor = np.maximum(_FLOOR * overall, _SMALLEST)[:, None, None]
        return NormalMaps(
            mean=blurred(first + mean, 1.0).astype(np.float32),
            deviation=(deviation + floor).astype(np.float32),
            overall_mean=level.astype(np.float32),
            overall_deviation=np.maximum(overall, _SMALLEST).astype(np.float32),
        )


@dataclass(frozen=True)
class MapScorer:
    """Evidence to a map and to a score.

    Attributes:
        normal: statistics of normal calibration images.
        smoothing: see `evidence`.
        top: share of the highest pixels of a map whose mean counts.
        form: the maps that are added.
        placements: ``pixel`` or ``image`` for each of ``names``.
        unit: what a pixel of a normal image exceeds once in a hundred times, for each of ``names``, shape (3,).
        part_mean, part_deviation: of every part over normal calibration images, shape (3,).
        names: the maps that it takes, in order: `MAPS`, so that forms can be compared, or those of the form alone.
    """

    normal: NormalMaps
    smoothing: float
    top: float
    form: tuple[str, ...] = MAPS
    placements: tuple[str, ...] = ("pixel",) * len(MAPS)
    unit: np.ndarray = field(default_factory=lambda: np.ones(len(MAPS)))
    part_mean: np.ndarray = field(default_factory=lambda: np.zeros(len(MAPS)))
    part_deviation: np.ndarray = field(default_factory=lambda: np.ones(len(MAPS)))
    names: tuple[str, ...] = MAPS

    @cached_property
    def of_form(self) -> "MapScorer":
        """The scorer that takes the maps of its form alone; its maps and scores are the same."""
        places = self._chosen()
        return replace(
            self,
            normal=self.normal.of(places),
            placements=tuple(self.placements[place] for place in places),
            unit=self.unit[places],
            part_mean=self.part_mean[places],
            part_deviation=self.part_deviation[places],
            names=self.form,
        )

    def _chosen(self) -> list[int]:
        return [self.names.index(name) for name in self.form]

    def scaled(self, found: np.ndarray) -> np.ndarray:
        """Evidence (n, 3, size, size) in the maps' units, 0 where nothing is unusual, same shape."""
        values = np.empty_like(found)
        for place, placement in enumerate(self.placements):
            if placement == "pixel":
                mean, deviation = self.normal.mean[place], self.normal.deviation[place]
            else:
                mean, deviation = self.normal.overall_mean[place], self.normal.overall_deviation[place]
            values[:, place] = (found[:, place] - mean) / (deviation * np.float32(self.unit[place]))
        return np.maximum(values, 0.0, out=values)

    def with_units(self, found: np.ndarray) -> "MapScorer":
        """The scorer with `unit` taken from evidence of normal images that its statistics were not taken from."""
        scaled = replace(self, unit=np.ones(len(MAPS))).scaled(found)
        unit = np.quantile(scaled.transpose(1, 0, 2, 3).reshape(len(MAPS), -1), _COMMON, axis=1)
        return replace(self, unit=np.maximum(unit, _SMALLEST))

    def with_parts(self, parts: np.ndarray) -> "MapScorer":
        """The scorer with means and deviations of the parts of normal images, shape (n, 3)."""
        return replace(self, part_mean=parts.mean(0), part_deviation=np.maximum(parts.std(0), _LEAST_DEVIATION))

    def map(self, scaled: np.ndarray) -> np.ndarray:
        """The sum over the form's maps, shape (n, size, size), float32."""
        return scaled[:, self._chosen()].sum(1)

    def highest(self, maps: np.ndarray) -> np.ndarray:
        """The mean of the highest pixels over the last two axes, float64."""
        flat = maps.reshape(-1, maps.shape[-2] * maps.shape[-1])
        kept = max(1, round(self.top * flat.shape[1]))
        return np.array([_mean_of_highest(values, kept) for values in flat]).reshape(maps.shape[:-2])

    def parts(self, scaled: np.ndarray) -> np.ndarray:
        """The logarithm of what the highest pixels of each map reach, shape (n, 3)."""
        return np.log(self.highest(scaled) + _NOTHING)

    def combine(self, parts: np.ndarray) -> np.ndarray:
        """The score of each image, shape (n,): the sum of the standardised parts of the form."""
        chosen = self._chosen()
        return ((parts[:, chosen] - self.part_mean[chosen]) / self.part_deviation[chosen]).sum(1)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All arrays by name, for an ``.npz`` file."""
        own = {name: getattr(self, name) for name in ("unit", "part_mean", "part_deviation")}
        return {**own, **{name: getattr(self.normal, name) for name in NormalMaps.__dataclass_fields__}}

    @staticmethod
    def from_arrays(
        arrays: dict[str, np.ndarray],
        *,
        form: tuple[str, ...],
        placements: tuple[str, ...],
        smoothing: float,
        top: float,
    ) -> "MapScorer":
        """The scorer that `to_arrays` wrote."""
        normal = NormalMaps(**{name: arrays[name] for name in NormalMaps.__dataclass_fields__})
        unit, part_mean, part_deviation = (arrays[name] for name in ("unit", "part_mean", "part_deviation"))
        return MapScorer(normal, smoothing, top, form, placements, unit, part_mean, part_deviation)
