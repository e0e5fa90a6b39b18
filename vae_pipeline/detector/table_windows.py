"""The windows of a raw table, and which row of it each one ends in."""

from dataclasses import dataclass

import numpy as np

from vae_pipeline.detector.explained import Named
from vae_pipeline.errors import DetectorError
from vae_pipeline.features.windows import Windows

__all__ = ["TableWindows"]


@dataclass(frozen=True, eq=False)
class TableWindows:
    """Windows over a table's rows, unit by unit and in order of time.

    Attributes:
        windows: over scaled rows without gaps.
        row: where each of these rows stands in the table, from 0, shape (n_rows,).
        unit: code of each row's unit, shape (n_rows,).
        unit_names: the names behind the codes.
        time: the table's time of each row, shape (n_rows,); None without a time column.
        short_units: units with fewer rows than a window.
    """

    windows: Windows
    row: np.ndarray
    unit: np.ndarray
    unit_names: tuple[str, ...]
    time: np.ndarray | None
    short_units: tuple[str, ...]

    def window_of(self, row: int) -> int:
        """The window that ends in a row of the table, from 0.

        Raises:
            DetectorError: none does.
        """
        found = np.flatnonzero(self.row[self.windows.ends] == row)
        if not len(found):
            length = self.windows.length
            msg = (
                f"row {row + 1}: no window ends there; the table has {len(self.row):,} rows, and a window needs "
                f"{length} rows of its unit"
            )
            raise DetectorError(msg)
        return int(found[0])

    def named(self, place: int) -> Named:
        """What a window is called."""
        end = self.windows.ends[place]
        unit = self.unit_names[self.unit[end]]
        row = int(self.row[end]) + 1
        return Named(f"{unit}, row {row}", unit, None if self.time is None else str(self.time[end]), row)
