"""A ranking of windows by score, evaluated under many weightings at once: what the bootstrap needs to be fast."""

from dataclasses import dataclass

import numpy as np

from vae_pipeline.errors import DataError

__all__ = ["Ranking", "area_up_to", "resamples"]

BLOCKS = 20


@dataclass(frozen=True, eq=False)
class Ranking:
    """Windows sorted by falling score, ties held together.

    Attributes:
        order: index of the windows by falling score, shape (n,).
        positive: 1.0 where the window at that rank is anomalous, shape (n,).
        ends: last rank of every group of equal scores, shape (groups,).

    Every measure takes ``weight``, shape (draws, n) in the windows' own order, and gives shape (draws,); without it,
    every window counts once and the result has shape (1,). Where a draw lacks one of the two classes it is nan.
    """

    order: np.ndarray
    positive: np.ndarray
    ends: np.ndarray

    @staticmethod
    def of(score: np.ndarray, label: np.ndarray) -> "Ranking":
        """The ranking of ``score``, shape (n,), with ``label`` 0 or 1, shape (n,)."""
        order = np.argsort(-score, kind="stable")
        ranked = score[order]
        ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
        return Ranking(order, (label[order] == 1).astype(np.float64), ends)

    def counts(self, weight: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """True and false positives when everything down to each group of equal scores alarms, each (draws, groups)."""
        weight = np.ones((1, len(self.order))) if weight is None else weight[:, self.order]
        total = np.cumsum(weight, axis=1)[:, self.ends]
        true = np.cumsum(weight * self.positive, axis=1)[:, self.ends]
        return true, total - true

    def roc_auc(self, weight: np.ndarray | None = None) -> np.ndarray:
        """Area under the ROC curve, ties counted half."""
        return _roc_auc(*self.counts(weight))

    def average_precision(self, weight: np.ndarray | None = None) -> np.ndarray:
        """Average precision: precision summed over the steps of recall, never interpolated."""
        return _average_precision(*self.counts(weight))

    def both(self, weight: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """ROC-AUC and average precision for the price of one pass."""
        counts = self.counts(weight)
        return _roc_auc(*counts), _average_precision(*counts)

    def partial_auc(self, weight: np.ndarray | None = None, max_fpr: float = 0.1) -> np.ndarray:
        """Area under the ROC curve up to a false-alarm rate, scaled so that chance gives 0.5 and the best 1.

        The scale is McClish's (Medical Decision Making 1989), as ``sklearn.metrics.roc_auc_score(max_fpr=...)`` has
        it and MIMII reports it; ``max_fpr=1`` gives ``roc_auc``.

        Raises:
            DataError: ``max_fpr`` does not lie above 0 and at most at 1.
        """
        if not 0 < max_fpr <= 1:
            msg = f"partial AUC: max_fpr is {max_fpr}; state a false-alarm rate above 0 and at most 1"
            raise DataError(msg)
        true, false = self.counts(weight)
        known = (true[:, -1] > 0) & (false[:, -1] > 0)
        x, y = (
            np.pad(count / np.where(known, count[:, -1], 1.0)[:, None], ((0, 0), (1, 0))) for count in (false, true)
        )
        area = area_up_to(x, y, max_fpr)
        chance = max_fpr**2 / 2
        return np.where(known, (1 + (area - chance) / (max_fpr - chance)) / 2, np.nan)

    def best_f1(self) -> float:
        """The largest F1 any threshold reaches, with the labels known: a ceiling, not a result."""
        true, false = self.counts()
        return float(np.max(2 * true / (true + false + self.positive.sum())))


def _roc_auc(true: np.ndarray, false: np.ndarray) -> np.ndarray:
    height = (true + np.concatenate([np.zeros_like(true[:, :1]), true[:, :-1]], axis=1)) / 2
    area = np.sum(np.diff(false, axis=1, prepend=0.0) * height, axis=1)
    product = true[:, -1] * false[:, -1]
    return np.divide(area, product, out=np.full_like(area, np.nan), where=product > 0)


def _average_precision(true: np.ndarray, false: np.ndarray) -> np.ndarray:
    total = true + false
    precision = np.divide(true, total, out=np.zeros_like(true), where=total > 0)
    area = np.sum(np.diff(true, axis=1, prepend=0.0) * precision, axis=1)
    known = (true[:, -1] > 0) & (false[:, -1] > 0)
    return np.divide(area, true[:, -1], out=np.full_like(area, np.nan), where=known)


def area_up_to(x: np.ndarray, y: np.ndarray, limit: float) -> np.ndarray:
    """Area under a curve of straight pieces from its first point to ``limit``, cut linearly there.

    Args:
        x: the curve's points, never falling along the last axis, shape (..., points).
        y: its heights, same shape.
        limit: where the area ends; a curve that ends before gives all of its area.

    Returns:
        The areas, shape (...).
    """
    left, width, rise = x[..., :-1], np.diff(x), np.diff(y)
    inside = np.clip(limit - left, 0.0, width)
    share = np.divide(inside, width, out=np.zeros_like(inside), where=width > 0)
    return np.sum(inside * (y[..., :-1] + rise * share / 2), axis=-1)


def resamples(unit: np.ndarray, draws: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Bootstrap draws of whole units.

    Windows of one unit overlap and share its history, so units and not windows are drawn with replacement. A single
    unit is cut into up to 20 contiguous blocks of equal length instead, which are drawn in its place.

    Args:
        unit: unit of every window, shape (n,), windows sorted by unit and time.
        draws: how many draws.
        seed: of the generator.

    Returns:
        ``group`` (n,), the drawn thing each window belongs to, and ``multiplicity`` (draws, groups), how often it was
        drawn; ``multiplicity[:, group]`` are the windows' weights.
    """
    group = np.unique(unit, return_inverse=True)[1].reshape(-1)
    groups = int(group[-1]) + 1 if len(group) else 0
    if groups == 1:
        groups = min(BLOCKS, len(unit))
        group = np.arange(len(unit)) * groups // len(unit)
    if groups == 0:
        return group, np.zeros((draws, 0))
    chance = np.full(groups, 1.0 / groups)
    return group, np.random.default_rng(seed).multinomial(groups, chance, size=draws).astype(np.float64)
