"""How well a map finds the anomalous pixels: pixel AUROC and AUPRO over any number of images, in bounded memory.

AUPRO is the area under the per-region overlap (Bergmann et al., "The MVTec Anomaly Detection Dataset", International
Journal of Computer Vision 2021, section 5.3): at every threshold the share of each ground-truth region that alarms,
averaged over regions, drawn against the share of normal pixels that alarm, from 0 to a limit, and divided by the
limit. Regions are connected over edges and corners, as in the authors' own code.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from vae_pipeline.errors import DataError
from vae_pipeline.evaluation.ranking import area_up_to

__all__ = ["PixelScores"]

EXACT = 2**23
BINS = 2**21
LIMIT = 0.3
SIGN = np.uint32(2**31)


class PixelScores:
    """Collects the score maps of a part, image by image.

    Up to ``exact`` pixels every score is kept and the results are exact. Beyond that scores become counts in about two
    million bins, at most 60 MB for each kind of defect. A bin holds the float32 numbers that share their leading bits:
    scores of one sign that span 16 powers of two are told apart to one part in 2^17, scores from 0 upwards to one in
    2^14. What is told apart does not depend on the order of the images, and ``uncertainty`` bounds what the bins can
    have changed.

    Attributes:
        left_out: images with a named defect and no mask, which say nothing about pixels.
        pixels: pixels that count.
        regions: named defect ("" where none was named) -> its ground-truth regions.
    """

    def __init__(self, exact: int = EXACT) -> None:
        """``exact``: pixels up to which every score is kept, at about 10 bytes each."""
        self.exact = exact
        self.left_out = 0
        self.pixels = 0
        self.regions: dict[str, int] = {}
        self._kept: list[_Pixels] | None = []
        self._bins = _Bins()

    def add(self, score_map: np.ndarray, mask: np.ndarray | None = None, *, defect: str = "") -> None:
        """Count the pixels of one image.

        Args:
            score_map: the higher the more anomalous, shape (height, width), read as float32.
            mask: true or not 0 where a pixel is anomalous, same shape; None for a good image, whose pixels are all
                normal.
            defect: the kind of defect, "" for a good image or where kinds do not matter. An image with a named
                defect and no mask is left out.

        Raises:
            DataError: the map is not two-dimensional or not finite, or the mask has another shape.
        """
        if mask is None and defect:
            self.left_out += 1
            return
        found = _pixels(score_map, mask, defect)
        self.pixels += len(found.normal) + len(found.anomalous)
        self.regions[defect] = self.regions.get(defect, 0) + found.regions
        if self._kept is not None:
            self._kept.append(found)
            if self.pixels > self.exact:
                kept, self._kept = self._kept, None
                for pixels in kept:
                    self._bins.add(pixels)
        else:
            self._bins.add(found)

    def pixel_auroc(self) -> float:
        """Area under the ROC curve over all pixels, ties counted half; nan where a class has no pixel."""
        return self._pixel_auroc(list(self.regions))

    def aupro(self, limit: float = LIMIT) -> float:
        """Area under the per-region overlap up to a false positive rate, divided by it.

        Args:
            limit: false positive rate of normal pixels at which the curve is cut, linearly between its points.

        Returns:
            0 to 1; nan where there is no region or no normal pixel.

        Raises:
            DataError: ``limit`` does not lie above 0 and at most at 1.
        """
        return self._aupro(list(self.regions), limit)

    def by_defect(self, limit: float = LIMIT) -> dict[str, dict[str, float]]:
        """``pixel_auroc``, ``aupro`` and ``regions`` of each named defect.

        The normal pixels are those of the defect's own images and of all images without a named defect. A measure
        that is not defined is left out.
        """
        result = {}
        for defect in sorted(name for name in self.regions if name):
            chosen = ["", defect]
            found = {"pixel_auroc": self._pixel_auroc(chosen), "aupro": self._aupro(chosen, limit)}
            known = {name: value for name, value in found.items() if np.isfinite(value)}
            result[defect] = known | {"regions": float(self.regions[defect])}
        return result

    def uncertainty(self, limit: float = LIMIT) -> float:
        """The most by which binning can have moved ``pixel_auroc`` or ``aupro(limit)``; 0 while all scores are kept.

        Scores that were equal before binning count too, so maps with many exact zeros are nearer than it says.
        """
        if self._kept is not None:
            return 0.0
        steps = self._bins.steps(list(self.regions))
        if not len(steps.hits) or not steps.normal:
            return 0.0
        width = (steps.reach - steps.above) / steps.normal
        roc = float(width @ steps.hits / steps.hits.sum()) / 2
        inside = np.clip(limit - steps.above / steps.normal, 0.0, width)
        # within a bin the curve lies anywhere in its box; a straight line halves that, save in the bin that is cut
        share = np.where(inside < width, 1.0, 0.5)
        return max(roc, float((inside * share) @ steps.overlap / steps.overlap.sum()) / limit)

    def _steps(self, defects: Sequence[str]) -> "_Steps":
        if self._kept is None:
            return self._bins.steps(defects)
        return _exact_steps([pixels for pixels in self._kept if pixels.defect in defects])

    def _pixel_auroc(self, defects: Sequence[str]) -> float:
        steps = self._steps(defects)
        if not len(steps.hits) or not steps.normal:
            return float("nan")
        below = 1.0 - (steps.above + steps.reach) / (2.0 * steps.normal)
        return float(steps.hits @ below / steps.hits.sum())

    def _aupro(self, defects: Sequence[str], limit: float) -> float:
        if not 0 < limit <= 1:
            msg = f"AUPRO: limit is {limit}; state a false positive rate above 0 and at most 1"
            raise DataError(msg)
        steps = self._steps(defects)
        if not len(steps.hits) or not steps.normal:
            return float("nan")
        after = np.cumsum(steps.overlap) / steps.overlap.sum()
        before = np.append(0.0, after[:-1])
        x = np.stack([steps.above, steps.reach], axis=1).reshape(-1) / steps.normal
        y = np.stack([before, after], axis=1).reshape(-1)
        x, y = np.concatenate([[0.0], x, [1.0]]), np.concatenate([[0.0], y, [1.0]])
        return float(area_up_to(x, y, limit)) / limit


class _Pixels(NamedTuple):
    """One image's pixels as keys; ``share`` is what each anomalous pixel is of its region."""

    defect: str
    normal: np.ndarray
    anomalous: np.ndarray
    share: np.ndarray
    regions: int


class _Steps(NamedTuple):
    """The curve at every score that anomalous pixels have, from the highest down, each (steps,).

    ``above`` and ``reach`` count the normal pixels above that score and at least at it, ``hits`` the anomalous pixels
    that have it, ``overlap`` sums their shares of regions; ``normal`` is the number of normal pixels.
    """

    above: np.ndarray
    reach: np.ndarray
    hits: np.ndarray
    overlap: np.ndarray
    normal: int


def _pixels(score_map: np.ndarray, mask: np.ndarray | None, defect: str) -> _Pixels:
    scores = np.asarray(score_map)
    if scores.ndim != 2:
        msg = f"pixel scores: the map has shape {scores.shape}; give one map (height, width) at a time"
        raise DataError(msg)
    keys = _keys(scores)
    none = np.zeros(0)
    if mask is None:
        return _Pixels(defect, keys.reshape(-1), none.astype(np.uint32), none, 0)
    mask = np.asarray(mask)
    if mask.shape != scores.shape:
        msg = f"pixel scores: the mask has shape {mask.shape} and the map {scores.shape}; bring the map to the mask's"
        raise DataError(msg)
    anomalous = mask != 0
    region = np.zeros(mask.shape, dtype=np.int32)
    count = int(ndimage.label(anomalous, structure=np.ones((3, 3)), output=region))  # pyright: ignore[reportArgumentType]
    inside = region[anomalous]
    share = (1.0 / np.maximum(np.bincount(inside, minlength=1), 1))[inside]
    return _Pixels(defect, keys[~anomalous], keys[anomalous], share, count)


def _keys(scores: np.ndarray) -> np.ndarray:
    """float32 numbers as uint32 that sort alike: the sign bit turned, negative numbers complemented."""
    with np.errstate(over="ignore"):
        scores = scores.astype(np.float32) + np.float32(0.0)  # -0.0 becomes 0.0
    if not np.isfinite(scores).all():
        row, column = np.argwhere(~np.isfinite(scores))[0]
        msg = (
            f"pixel scores: the map is {scores[row, column]} at row {row}, column {column}; every score must be finite"
        )
        raise DataError(msg)
    bits = scores.view(np.uint32)
    return np.where(bits < SIGN, bits | SIGN, ~bits)


def _exact_steps(kept: Sequence[_Pixels]) -> _Steps:
    if not kept:
        return _Steps(*np.zeros((4, 0)), normal=0)
    normal = np.sort(np.concatenate([pixels.normal for pixels in kept]))
    levels, place = np.unique(np.concatenate([pixels.anomalous for pixels in kept]), return_inverse=True)
    share = np.concatenate([pixels.share for pixels in kept])
    hits, overlap = (np.bincount(place, weights=weights, minlength=len(levels)) for weights in (None, share))
    above, reach = (len(normal) - np.searchsorted(normal, levels, side) for side in ("right", "left"))
    return _Steps(above[::-1], reach[::-1], hits[::-1], overlap[::-1], len(normal))


class _Bins:
    """Counts of keys that share all but their last ``shift`` bits, which only the lowest and highest key decide.

    ``counts`` holds normal pixels, anomalous pixels and shares of regions of each defect, (3, bins); the first bin is
    that of the keys ``first << shift`` and the ones after it.
    """

    def __init__(self) -> None:
        self.shift = 0
        self.low = 2**32
        self.high = -1
        self.first = 0
        self.length = 0
        self.counts: dict[str, np.ndarray] = {}

    def add(self, pixels: _Pixels) -> None:
        keys = [part for part in (pixels.normal, pixels.anomalous) if len(part)]
        if not keys:
            return
        self._reach(min(int(part.min()) for part in keys), max(int(part.max()) for part in keys))
        if pixels.defect not in self.counts:
            self.counts[pixels.defect] = np.zeros((3, self.length))
        weighted = ((pixels.normal, None), (pixels.anomalous, None), (pixels.anomalous, pixels.share))
        for row, (part, weights) in zip(self.counts[pixels.defect], weighted, strict=True):
            if len(part):
                place = (part >> np.uint32(self.shift)).astype(np.intp)
                start = int(place.min())
                found = np.bincount(place - start, weights=weights)
                row[start - self.first : start - self.first + len(found)] += found

    def steps(self, defects: Sequence[str]) -> _Steps:
        counts = np.zeros((3, self.length))
        for defect in defects:
            if defect in self.counts:
                counts += self.counts[defect]
        normal, hits, overlap = counts[:, ::-1]
        some = hits > 0
        reach = np.cumsum(normal)
        total = int(reach[-1]) if len(reach) else 0
        return _Steps((reach - normal)[some], reach[some], hits[some], overlap[some], total)

    def _reach(self, low: int, high: int) -> None:
        """Make room for keys from ``low`` to ``high``, joining neighbouring bins until there are few enough."""
        if self.low <= low and high <= self.high:
            return
        self.low, self.high = min(self.low, low), max(self.high, high)
        joined = 0
        while (self.high >> self.shift + joined) - (self.low >> self.shift + joined) >= BINS:
            joined += 1
        self.shift += joined
        start, stop = self.low >> self.shift, (self.high >> self.shift) + 1
        if not joined and self.first <= start and stop <= self.first + self.length:
            return
        old = self.first
        slack = (stop - start) // 8  # the next image may reach a little further
        self.first, self.length = start - slack, stop - start + 2 * slack
        for defect, counts in self.counts.items():
            used = np.flatnonzero(counts.any(axis=0))
            place = ((old + used) >> joined) - self.first
            rows = [np.bincount(place, weights=row[used], minlength=self.length) for row in counts]
            self.counts[defect] = np.stack(rows)
