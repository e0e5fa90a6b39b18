"""How long before failure a detector starts to alarm, and goes on alarming."""

from itertools import pairwise

import numpy as np

__all__ = ["lead_times"]

LOOK_AHEAD = 5
NEEDED = 3


def lead_times(alarm: np.ndarray, label: np.ndarray, unit: np.ndarray, remaining_life: np.ndarray) -> np.ndarray:
    """Lead time of every unit that reaches an anomalous window, in cycles; nan where it was not detected.

    Alarms hold at a window when at least 3 of the 5 windows after it alarm; near the unit's end, where fewer follow,
    at least three fifths of those; at the last window, when it alarms itself. The lead time is the remaining life at
    the first alarm from which on alarms hold at every window to the unit's last one. A burst of alarms that ends is
    therefore a false alarm and no early detection, and a unit silent at its last window is not detected.

    Args:
        alarm: bool (n,), windows sorted by unit and time.
        label: 1 anomalous, 0 not, -1 unknown, shape (n,).
        unit: shape (n,).
        remaining_life: cycles to failure, nan unknown, shape (n,).
    """
    bounds = np.append(np.flatnonzero(np.concatenate([[True], unit[1:] != unit[:-1]])), len(unit))
    times = []
    for start, stop in pairwise(bounds):
        reached = (label[start:stop] == 1).any() and np.isfinite(remaining_life[start:stop]).any()
        if reached:
            first = _first_lasting(alarm[start:stop])
            times.append(np.nan if first is None else remaining_life[start + first])
    return np.array(times, dtype=np.float64)


def _first_lasting(alarm: np.ndarray) -> int | None:
    """Index of the first alarm that lasts to the end, if any; ``alarm`` is one unit's, shape (n,)."""
    n = len(alarm)
    total = np.concatenate([[0], np.cumsum(alarm)])
    after = np.minimum(np.arange(n) + 1 + LOOK_AHEAD, n)
    following = after - np.arange(n) - 1
    # integer arithmetic for "at least three fifths"
    holds = (total[after] - total[1:]) * LOOK_AHEAD >= NEEDED * following
    holds[-1] = alarm[-1]
    broken = np.flatnonzero(~holds)
    start = broken[-1] + 1 if len(broken) else 0
    alarms = np.flatnonzero(alarm[start:])
    return int(start + alarms[0]) if len(alarms) else None
