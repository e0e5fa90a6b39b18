"""A detector of windows of sensor readings: it scores, decides and says which sensor deviates, and when."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from vae_pipeline.calibration.scorers import Observation, WindowScorer
from vae_pipeline.detector.description import WindowDescription
from vae_pipeline.detector.detector import Judged, Progress, Scores
from vae_pipeline.detector.explained import Named
from vae_pipeline.detector.explained_windows import explain_windows
from vae_pipeline.detector.scaled import ScaledDetector
from vae_pipeline.detector.table_windows import TableWindows
from vae_pipeline.detector.times import sortable
from vae_pipeline.errors import DetectorError
from vae_pipeline.explanation.chosen import spread_highest
from vae_pipeline.explanation.explanation import Explanation
from vae_pipeline.features.scaling import fill_gaps
from vae_pipeline.features.windows import Windows

__all__ = ["TableScores", "WindowDetector"]

BLOCK = 16_384
"""Rows of a table that are scaled at a time."""


@dataclass(frozen=True)
class TableScores(Scores):
    """Scores of a table's windows.

    Attributes:
        row: index of each window's last row in the table, shape (n,).
        short_units: units with fewer rows than a window; they have no score.
    """

    row: np.ndarray
    short_units: tuple[str, ...]


class WindowDetector(ScaledDetector[WindowScorer]):
    """A calibrated detector of windows of sensor readings."""

    @staticmethod
    def scorer_of(arrays: dict[str, np.ndarray], description: WindowDescription) -> WindowScorer:
        """The scorer of windows."""
        return WindowScorer.from_arrays(arrays, description.late, description.form)

    def score_observation(self, batch: Observation) -> np.ndarray:
        """Scores of one batch, shape (n,)."""
        return self.scorer.combine(self.scorer.parts(batch))

    def score_scaled(self, windows: Windows, progress: Progress | None = None) -> Scores:
        """Scores of windows over scaled rows, batch by batch."""
        return self.scores(self.judged(windows, progress).score)

    def judged(self, windows: Windows, progress: Progress | None = None) -> Judged:
        """Scores and latents of windows over scaled rows, batch by batch."""
        found = []
        for batch in self.session.batches(windows):
            found.append(Judged(self.score_observation(batch), batch.latent))
            if progress:
                progress(len(batch.windows))
        return Judged.joined(found)

    def score_windows(self, windows: np.ndarray) -> Scores:
        """Scores of windows in raw units, shape (n_windows, channels, time), channels as in ``description.inputs``.

        Raises:
            DetectorError: the shape is another.
        """
        return self.score_scaled(self.scaled_windows(windows))

    def explain_scaled(self, windows: Windows, named: Sequence[Named]) -> list[Explanation]:
        """Why each of some windows over scaled rows has its score; ``named`` says which windows they are."""
        return explain_windows(self, windows, named)

    def explain_windows(self, windows: np.ndarray, names: Sequence[str] | None = None) -> list[Explanation]:
        """Why each of some windows in raw units has its score.

        Args:
            windows: shape (n_windows, channels, time), channels as in ``description.inputs``.
            names: of the windows; ``window 1`` and so on when left out.

        Raises:
            DetectorError: the shape is another.
        """
        called = names or [f"window {number}" for number in range(1, len(windows) + 1)]
        return self.explain_scaled(self.scaled_windows(windows), [Named(name) for name in called])

    def explain_table(
        self, columns: Mapping[str, np.ndarray], rows: Sequence[int] | None = None, *, top: int = 1
    ) -> list[Explanation]:
        """Why windows of a raw table have their scores.

        Args:
            columns: as `score_table` takes them.
            rows: last rows of the windows, from 0; when left out the windows of highest score, spread over units.
            top: how many of these.

        Raises:
            DetectorError: no window ends in a row, or what `score_table` raises.
        """
        table = self.table_windows(columns)
        chosen = self.chosen_windows(table, rows, top)
        return self.explain_scaled(table.windows.subset(chosen), [table.named(place) for place in chosen])

    def chosen_windows(self, table: TableWindows, rows: Sequence[int] | None, top: int) -> np.ndarray:
        """Which windows of a table `explain_table` explains.

        Raises:
            DetectorError: no window ends in a row.
        """
        if rows is not None:
            return np.array([table.window_of(row) for row in rows], dtype=np.int64)
        scores = self.score_scaled(table.windows).score
        return spread_highest(scores, table.unit[table.windows.ends], table.windows.ends, table.windows.length, top)

    def scaled_windows(self, windows: np.ndarray) -> Windows:
        """Windows in raw units, shape (n_windows, channels, time), as windows over scaled rows.

        Raises:
            DetectorError: the shape is another.
        """
        expected = (len(self.description.inputs), self.description.window)
        if windows.ndim != 3 or windows.shape[1:] != expected:
            channels = ", ".join(self.description.inputs)
            msg = f"windows have shape {windows.shape}, not (n, {expected[0]}, {expected[1]}) with channels {channels}"
            raise DetectorError(msg)
        n, _, time = windows.shape
        raw = windows.astype(np.float64).transpose(0, 2, 1)
        n_sensors = len(self.description.sensors)
        flat = raw.reshape(n * time, expected[0])
        scaled = self.scaler.transform(flat[:, :n_sensors], flat[:, n_sensors:])
        if not np.isfinite(scaled).all():
            scaled = np.concatenate([fill_gaps(rows) for rows in scaled.reshape(n, time, n_sensors)])
        starts = np.arange(n, dtype=np.int64) * time
        return Windows(np.ascontiguousarray(scaled), starts, time)

    def score_table(
        self, columns: Mapping[str, np.ndarray], progress: Progress | None = None, *, unit: np.ndarray | None = None
    ) -> TableScores:
        """Scores of a raw table, one for every row that ends a window.

        Args:
            columns: one array a column, all of shape (n_rows,): the inputs, and if the detector was fitted with them
                the unit column (or ``unit``) and the time column (or ``time``). Without a unit column the table is one
                unit, without a time column its rows are in order. What serves no role is not looked at.
            progress: called with the number of windows just scored.
            unit: name or code of each row's unit, shape (n_rows,), of rows that are in order; stands for both columns.

        Raises:
            DetectorError: a column is missing or not numeric, or a time neither a number nor of ISO 8601; the message
                names it.
        """
        table = self.table_windows(columns, unit)
        result = self.score_scaled(table.windows, progress)
        return TableScores(result.score, result.alarm, table.row[table.windows.ends], table.short_units)

    def table_windows(self, columns: Mapping[str, np.ndarray], unit: np.ndarray | None = None) -> TableWindows:
        """The windows of a raw table as `score_table` takes it, over its rows in order, scaled and without gaps.

        Raises:
            DetectorError: what `score_table` raises.
        """
        inputs = self._inputs(columns)
        n_rows = len(next(iter(inputs.values()), ()))
        named = _first(columns, self.description.unit_names)
        timed = _first(columns, self.description.time_names) if unit is None else None
        given = unit if unit is not None or named is None else np.asarray(columns[named])
        shown = None if timed is None else np.asarray(columns[timed])
        units, names = _coded(given, n_rows)
        order = np.lexsort((np.arange(n_rows) if timed is None else sortable(columns[timed], timed), units))
        bounds = np.flatnonzero(np.diff(units[order], prepend=-1, append=-1))
        scaled = self._scaled(inputs, order)
        length = self.description.window
        starts, short = [], []
        for start, stop in pairwise(bounds.tolist()):
            scaled[start:stop] = fill_gaps(scaled[start:stop])
            starts.append(Windows.starts_of(start, stop, length))
            if stop - start < length:
                short.append(str(names[units[order[start]]]))
        index = np.concatenate(starts) if starts else np.empty(0, np.int64)
        return TableWindows(
            windows=Windows(scaled, index, length),
            row=order,
            unit=units[order],
            unit_names=tuple(str(name) for name in names),
            time=None if shown is None else shown[order],
            short_units=tuple(short),
        )

    def _inputs(self, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The columns the detector reads, in order, as numbers; nothing is copied that is float64 already."""
        names = self.description.inputs
        missing = [name for name in names if name not in columns]
        if missing:
            msg = f"column {missing[0]!r} is missing; {self.description.name} reads {', '.join(names)}"
            raise DetectorError(msg)
        n_rows = len(next(iter(columns.values()))) if columns else 0
        found = {}
        for name in names:
            try:
                column = np.asarray(columns[name])
                found[name] = column if column.dtype.kind in "fiub" else column.astype(np.float64)
            except (TypeError, ValueError) as error:
                msg = f"column {name!r} is not numeric: {error}"
                raise DetectorError(msg) from error
            if found[name].shape != (n_rows,):
                msg = f"column {name!r} has shape {found[name].shape}, not ({n_rows},) as the first column"
                raise DetectorError(msg)
        return found

    def _scaled(self, inputs: Mapping[str, np.ndarray], order: np.ndarray) -> np.ndarray:
        """Scaled rows in the given order, float32, block by block so that the table is not held again as float64."""
        scaled = np.empty((len(order), len(self.description.sensors)), dtype=np.float32)
        for first in range(0, len(order), BLOCK):
            rows = order[first : first + BLOCK]
            block = np.empty((len(rows), len(inputs)))
            for index, column in enumerate(inputs.values()):
                block[:, index] = column[rows]
            sensors, settings = np.split(block, [scaled.shape[1]], axis=1)
            scaled[first : first + BLOCK] = self.scaler.transform(sensors, settings)
        return scaled


def _first(columns: Mapping[str, np.ndarray], names: Sequence[str]) -> str | None:
    """The first of some columns that a table has."""
    return next((name for name in names if name in columns), None)


def _coded(units: np.ndarray | None, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """A code for every row, in order of first appearance, and the names behind the codes."""
    if units is None:
        return np.zeros(n_rows, np.int64), np.array(["table"])
    names, first, codes = np.unique(units.astype(str), return_index=True, return_inverse=True)
    rank = np.empty(len(names), np.int64)
    rank[np.argsort(first)] = np.arange(len(names))
    return rank[codes], names[np.argsort(first)]
