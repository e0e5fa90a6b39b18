"""Rows at even times, with a stated rule for gaps.

Time is cut into bins of ``every``, counted from 1970; a bin is called by its start. A cell is the mean, or the last
value, of a sensor's readings in the bin, and empty where there is none.

A *gap* is the way from one bin with rows to the next of the same unit, where it is longer than ``every``. A gap of
more than ``longest`` ends the *run* of rows: nothing is filled in it, under any rule, and no value is carried over it.
What happens inside a run is the rule's matter:

- ``keep``: nothing is filled. Bins without rows are left out, empty cells stay empty.
- ``split``: as ``keep``, and every run after a unit's first is a unit of its own, called ``<unit>@<start of the run>``,
  so that no window reaches over a gap.
- ``last``: bins without rows are inserted, and every empty cell takes the sensor's last value if that is at most
  ``longest`` old.
- ``interpolate``: bins without rows are inserted, and every empty cell between two values of the sensor that are at
  most ``longest`` apart lies on the line between them. What lies behind the last value stays empty: a row that was
  written is not revised when the next value comes.

What came before is handed over as `Before`, so that rows cut into batches give what they give as one (but for
``interpolate``, whose cells wait for a value that is in another batch).
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from vae_pipeline.connectors.config import Gaps, Resample
from vae_pipeline.connectors.moments import iso, nanoseconds
from vae_pipeline.sources.delimited import column

__all__ = ["Before", "Resampled", "Run", "bins", "pivot", "resample"]

Known = dict[str, tuple[int, float]]


@dataclass(frozen=True)
class Run:
    """Rows of a unit without a gap longer than allowed; times in nanoseconds since 1970."""

    unit: str
    start: int
    end: int
    ended_by: int | None = None
    """The length of the gap behind it in nanoseconds; None where none is known yet."""


@dataclass(frozen=True)
class Before:
    """What a unit had before: its last bin, the start of that run, and each sensor's last value in the run.

    ``first`` tells whether that run is the unit's first one.
    """

    last: int
    run: int
    first: bool = True
    known: Known = field(default_factory=dict)


@dataclass(frozen=True)
class Resampled:
    """Rows (``unit``, ``time``, sensors), the runs in them, what was filled, and what the next call needs to know."""

    rows: pd.DataFrame
    runs: tuple[Run, ...]
    inserted_rows: int
    filled_cells: int
    after: dict[str, Before]


def bins(times: np.ndarray, every: int) -> np.ndarray:
    """The start of each time's bin, (rows,) int64 nanoseconds."""
    return (times // every) * every


def pivot(rows: pd.DataFrame, sensors: list[str]) -> pd.DataFrame:
    """From one row a reading (``unit``, ``time``, ``tag``, ``value``) to one a unit and time, sorted by both.

    No (unit, time, tag) may be there twice; sensors without a reading are nan.
    """
    indexed = pd.Series(
        rows["value"].to_numpy(np.float64), pd.MultiIndex.from_frame(rows.loc[:, ["unit", "time", "tag"]])
    )
    wide = pd.DataFrame(indexed.unstack("tag"))  # noqa: PD010 - nothing is there twice
    wide = wide.reindex(columns=pd.Index(sensors)).sort_index().reset_index()
    wide.columns.name = None
    return wide


def resample(rows: pd.DataFrame, rule: Resample, before: dict[str, Before] | None = None) -> Resampled:
    """Bring rows to even times and treat gaps by the rule.

    Args:
        rows: ``unit``, ``time`` (int64 nanoseconds), sensors (float64); sorted by unit and time.
        rule: see above.
        before: what the same units had; their bins must lie behind its ``last``.
    """
    before = before or {}
    every = nanoseconds(rule.every)
    sensors = [name for name in rows.columns if name not in ("unit", "time")]
    binned = rows.assign(time=bins(rows["time"].to_numpy(np.int64), every))
    grouped = binned.groupby(["unit", "time"], sort=True)[sensors]
    table = (grouped.mean() if rule.aggregate == "mean" else grouped.last()).reset_index()
    parts, runs, inserted, filled, after = [], [], 0, 0, dict(before)
    for unit, part in table.groupby("unit", sort=True):
        done = _unit(str(unit), part.reset_index(drop=True), sensors, rule, every, before.get(str(unit)))
        parts.append(done.rows)
        runs += done.runs
        inserted += done.inserted_rows
        filled += done.filled_cells
        after |= done.after
    whole = pd.concat(parts, ignore_index=True) if parts else table
    return Resampled(whole, tuple(runs), inserted, filled, after)


def _unit(
    unit: str, part: pd.DataFrame, sensors: list[str], rule: Resample, every: int, before: Before | None
) -> Resampled:
    longest = nanoseconds(rule.longest)
    times = part["time"].to_numpy(np.int64)
    previous = times[0] if before is None else before.last
    steps = np.diff(times, prepend=previous)
    breaks = set(np.flatnonzero(steps > longest).tolist())
    starts = sorted({0, *breaks})
    tables, runs, inserted, filled = [], [], 0, 0
    state = before
    for start, stop in zip(starts, [*starts[1:], len(times)], strict=True):
        if state is not None and start in breaks:
            gap = int(steps[start])
            runs.append(Run(_called(unit, state, rule.gaps), state.run, state.last, gap))
            state = Before(int(times[start]), int(times[start]), first=False)
        if state is None:
            state = Before(int(times[start]), int(times[start]))
        run, state = _run(part.iloc[start:stop], sensors, rule.gaps, every, longest, state)
        run.rows["unit"] = _called(unit, state, rule.gaps)
        tables.append(run.rows)
        inserted += run.inserted_rows
        filled += run.filled_cells
    assert state is not None  # noqa: S101 - a unit has rows
    runs.append(Run(_called(unit, state, rule.gaps), state.run, state.last))
    return Resampled(pd.concat(tables, ignore_index=True), tuple(runs), inserted, filled, {unit: state})


def _called(unit: str, state: Before, gaps: Gaps) -> str:
    if gaps != "split" or state.first:
        return unit
    return f"{unit}@{iso(state.run)}"


def _run(
    part: pd.DataFrame, sensors: list[str], gaps: Gaps, every: int, longest: int, state: Before
) -> tuple[Resampled, Before]:
    """The rows of one run, with what the rule fills in; none of its gaps is longer than allowed."""
    times, inserted = part["time"].to_numpy(np.int64), 0
    table = part.set_index("time")[sensors]
    if gaps in ("last", "interpolate"):
        begin = min(int(times[0]), state.last + every)
        whole = np.arange(begin, times[-1] + 1, every)
        inserted = len(whole) - len(times)
        table = table.reindex(pd.Index(whole, name="time"))
    at = table.index.to_numpy(np.int64)
    known, filled = dict(state.known), 0
    for name in sensors:
        values = column(pd.DataFrame(table), name).to_numpy(np.float64).copy()
        given = np.flatnonzero(~np.isnan(values))
        points, levels = at[given], values[given]
        if name in known:
            points, levels = np.append(known[name][0], points), np.append(known[name][1], levels)
        if gaps in ("last", "interpolate") and points.size:
            empty = np.flatnonzero(np.isnan(values))
            values[empty] = (_held if gaps == "last" else _between)(at[empty], points, levels, longest)
            filled += int((~np.isnan(values[empty])).sum())
            table[name] = values
        if points.size:
            known[name] = (int(points[-1]), float(levels[-1]))
    rows = table.reset_index()
    rows.insert(0, "unit", "")
    after = Before(int(at[-1]), state.run, first=state.first, known=known)
    return Resampled(rows, (), inserted, filled, {}), after


def _held(at: np.ndarray, points: np.ndarray, levels: np.ndarray, longest: int) -> np.ndarray:
    """The last level before each time, nan where it is older than ``longest`` or there is none."""
    index = np.searchsorted(points, at, side="right") - 1
    old = at - points[np.maximum(index, 0)]
    return np.where((index >= 0) & (old <= longest), levels[np.maximum(index, 0)], np.nan)


def _between(at: np.ndarray, points: np.ndarray, levels: np.ndarray, longest: int) -> np.ndarray:
    """The line between the levels around each time, nan where they are further apart or one is missing."""
    right = np.searchsorted(points, at)
    inside = (right > 0) & (right < len(points))
    after, before = np.minimum(right, len(points) - 1), np.maximum(right - 1, 0)
    apart = points[after] - points[before]
    share = (at - points[before]) / np.where(apart == 0, 1, apart)
    line = levels[before] + share * (levels[after] - levels[before])
    return np.where(inside & (apart <= longest), line, np.nan)
