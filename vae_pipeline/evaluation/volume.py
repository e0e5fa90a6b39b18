"""VUS-PR: the volume under the range-based precision-recall surface."""

import numpy as np

__all__ = ["vus_pr"]

THRESHOLDS = 250


def vus_pr(score: np.ndarray, label: np.ndarray, unit: np.ndarray, *, max_buffer: int = 100) -> float:
    """VUS-PR of the units' sequences laid end to end.

    For every buffer ``l`` from 0 to ``max_buffer`` the 0/1 labels get slopes ``sqrt(1 - distance / l)`` of ``l // 2``
    windows on both sides of an anomaly, and the area under the range-based precision-recall curve is taken over 250
    thresholds spread evenly over the ranks of the scores; the volume is the mean of the areas. Slopes and anomalous
    ranges end where the unit ends, so a unit never borrows a neighbour's label. With one unit it is the measure of
    the authors' code and of aeon, their conventions included (the slope behind an anomaly is one window shorter than
    the one before it). A constant score gives 0, as there.

    Source: Paparrizos et al., Volume Under the Surface, PVLDB 15(11), 2022.

    Args:
        score: shape (n,), windows sorted by unit and time.
        label: 0 or 1, both present, shape (n,).
        unit: shape (n,).
        max_buffer: the widest buffer, in windows.
    """
    order = np.argsort(-score, kind="stable")
    falling = score[order]
    if falling[0] == falling[-1]:
        return 0.0
    thresholds = falling[np.linspace(0, len(score) - 1, THRESHOLDS, dtype=np.int64)]
    alarmed = np.searchsorted(-falling, -thresholds, side="right")
    slopes = _Slopes(label == 1, unit)
    areas = np.empty(max_buffer + 1)
    for buffer in range(max_buffer + 1):
        soft = slopes.soft(buffer)
        peaks = np.sort(slopes.range_peaks(soft, score))
        true = np.cumsum(soft[order])[alarmed - 1]
        found = (len(peaks) - np.searchsorted(peaks, thresholds, side="left")) / len(peaks)
        positives = (slopes.count + soft.sum()) / 2
        recall = np.concatenate([[0.0], np.minimum(true / positives, 1.0) * found])
        precision = np.concatenate([[1.0], true / alarmed])
        areas[buffer] = np.sum(np.diff(recall) * (precision[1:] + precision[:-1]) / 2)
    return float(areas.mean())


class _Slopes:
    """Distances from every window to the anomalies of its unit, from which soft labels of any buffer follow."""

    def __init__(self, anomalous: np.ndarray, unit: np.ndarray) -> None:
        position = np.arange(len(anomalous))
        changes = unit[1:] != unit[:-1]
        self.anomalous = anomalous
        self.count = int(anomalous.sum())
        self.opens = np.concatenate([[True], changes])
        stop = np.append(np.flatnonzero(changes), len(unit) - 1)
        last = stop[np.cumsum(self.opens) - 1]
        first = np.concatenate([[0], stop[:-1] + 1])[np.cumsum(self.opens) - 1]
        starts = np.flatnonzero(anomalous & (self.opens | ~np.concatenate([[False], anomalous[:-1]])))
        ends = np.flatnonzero(anomalous & (np.append(changes, True) | ~np.append(anomalous[1:], False)))
        ahead = np.searchsorted(starts, position, side="left")
        behind = np.searchsorted(ends, position, side="right") - 1
        self.to_next, self.to_second_next = (_distance(starts, ahead + step, position, first, last) for step in (0, 1))
        self.to_previous, self.to_second_previous = (
            _distance(ends, behind - step, position, first, last) for step in (0, 1)
        )

    def soft(self, buffer: int) -> np.ndarray:
        """Labels between 0 and 1 with slopes for ``buffer``, shape (n,)."""
        soft = self.anomalous.astype(np.float64)
        if buffer <= 1:
            return soft
        reach = buffer // 2
        before = ~self.anomalous & (self.to_next <= reach)
        after = ~self.anomalous & (self.to_previous <= reach - 1)
        soft[before] = np.sqrt(1 - self.to_next[before] / buffer)
        soft[after] = np.sqrt(1 - self.to_previous[after] / buffer)
        # slopes add up to at most 1, and any two of them sum to more, as none is below sqrt(1/2)
        twice = (before & after) | (self.to_second_next <= reach) | (self.to_second_previous <= reach - 1)
        soft[twice] = 1.0
        return soft

    def range_peaks(self, soft: np.ndarray, score: np.ndarray) -> np.ndarray:
        """The highest score of every run of positive soft labels within a unit."""
        inside = soft > 0
        starts = inside & (self.opens | ~np.concatenate([[False], inside[:-1]]))
        return np.maximum.reduceat(score[inside], np.flatnonzero(starts[inside]))


def _distance(
    marks: np.ndarray, which: np.ndarray, position: np.ndarray, first: np.ndarray, last: np.ndarray
) -> np.ndarray:
    """Windows between ``position`` and ``marks[which]``; infinite where that mark is missing or in another unit."""
    if len(marks) == 0:
        return np.full(len(position), np.inf)
    mark = marks[np.clip(which, 0, len(marks) - 1)]
    reachable = (which >= 0) & (which < len(marks)) & (mark >= first) & (mark <= last)
    return np.where(reachable, np.abs(mark - position), np.inf)
