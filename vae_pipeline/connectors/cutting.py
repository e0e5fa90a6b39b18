"""Which rows are ripe for a batch, and where the batches are cut: each unit in one, long enough for a window."""

import numpy as np
import pandas as pd

__all__ = ["cuts", "ripe"]

_MOST_WINDOWS = 10  # a unit of short runs only does not wait for ever


def ripe(units: pd.Series, at: np.ndarray, *, least: int, grows: bool, longest: int | None = None) -> np.ndarray:
    """Which rows need not wait any more, (rows,) bool: those of units with ``least`` times that are complete.

    Args:
        units: of each row, (rows,).
        at: time or bin of each row, (rows,).
        least: times that a unit has to have.
        grows: whether a unit's last time may still grow: it waits.
        longest: a longer step between two times ends a run, and a run has to have ``least`` times, or the unit ten
            times as many; None where steps do not matter.
    """
    frame = pd.DataFrame({"unit": units.to_numpy(), "at": at})
    whole = np.ones(len(frame), dtype=bool)
    if grows:
        whole = (frame["at"] < frame.groupby("unit")["at"].transform("max")).to_numpy()
    times = frame.loc[whole].drop_duplicates().sort_values(["unit", "at"])
    count = times.groupby("unit").size()
    enough = count >= least
    if longest is not None:
        run = (times.groupby("unit")["at"].diff() > longest).cumsum().rename("run")
        enough &= times.groupby(["unit", run]).size().groupby("unit").max() >= least
        enough |= count >= _MOST_WINDOWS * least
    return whole & frame["unit"].isin(enough.index[enough]).to_numpy()


def cuts(units: pd.Series, at: np.ndarray, *, most: int, least: int) -> list[slice]:
    """Batches of at most ``most`` times, in the order of the rows.

    A unit is cut only where it has more than that itself, and never to fewer than ``least`` times.

    Args:
        units: of each row, (rows,); sorted.
        at: time or bin of each row, (rows,); sorted inside a unit.
        most: times in a batch.
        least: times of a unit in a batch; counts more than ``most``.
    """
    names = units.to_numpy()
    unit = np.flatnonzero(np.append(True, names[1:] != names[:-1]))
    time = np.flatnonzero(np.append(True, (names[1:] != names[:-1]) | (at[1:] != at[:-1])))
    edges = np.append(time, len(names))
    found, begin, size = [], 0, 0
    firsts = np.append(np.searchsorted(time, unit), len(time))
    for first, end in zip(firsts[:-1].tolist(), firsts[1:].tolist(), strict=True):
        count = end - first
        parts = max(1, min(-(-count // most), count // least))
        for part in range(parts):
            start, stop = first + part * count // parts, first + (part + 1) * count // parts
            if size and size + stop - start > most:
                found.append(slice(begin, int(edges[start])))
                begin, size = int(edges[start]), 0
            size += stop - start
    found.append(slice(begin, len(names)))
    return found
