"""Which anomalies are explained where there are more than anyone reads."""

import numpy as np

__all__ = ["spread_highest"]


def spread_highest(scores: np.ndarray, unit: np.ndarray, end: np.ndarray, apart: int, most: int) -> np.ndarray:
    """Places of the highest scores, each unit's own highest before any unit's second, shape (at most ``most``,).

    Windows of one unit that overlap tell the same: of these the highest alone is taken.

    Args:
        scores: shape (n,).
        unit: code of each one's unit, shape (n,).
        end: last row of each, shape (n,).
        apart: rows by which two of one unit must be apart.
        most: how many.
    """
    taken: dict[int, list[int]] = {}
    found: list[tuple[int, int]] = []
    for place in np.argsort(-scores, kind="stable").tolist():
        mine = taken.setdefault(int(unit[place]), [])
        if len(mine) < most and all(abs(int(end[place]) - other) >= apart for other in mine):
            found.append((len(mine), place))
            mine.append(int(end[place]))
    order = sorted(range(len(found)), key=lambda index: (found[index][0], index))
    return np.array([found[index][1] for index in order[:most]], dtype=np.int64)
