"""A table of readings whose column ``image`` names pictures, as pairs."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vae_pipeline.errors import DataError, DetectorError
from vae_pipeline.features.pictures import decode_picture
from vae_pipeline.records import Dataset
from vae_pipeline.sources.readings import read_readings

if TYPE_CHECKING:
    from vae_pipeline.detector.pairs import PairDetector

__all__ = ["PairFile"]

BATCH = 256
"""Rows whose windows and images are in memory at a time."""


class PairFile:
    """Pairs of a file: its rows that name an image or end a window; what a row has not is missing.

    Attributes:
        readings: the file's rows in their order.
        rows: which of them are pairs, from 0, shape (n,).
    """

    def __init__(self, detector: "PairDetector", dataset: Dataset, file: Path) -> None:
        """Read the table; pictures are read when they are asked for, from the table's folder on.

        Args:
            detector: of the pairs.
            dataset: that of their readings, whose form the table has.
            file: the table.

        Raises:
            DataError: the file cannot be read or a column is missing; the message names it.
            DetectorError: its times cannot be sorted.
        """
        schema = detector.description.windows
        self.file, self._length, self._inputs = file, schema.window, list(schema.inputs)
        self._max_pixels = detector.description.images.imaging.max_pixels
        self.readings = read_readings(file, dataset, schema.inputs)
        missing = [name for name in (*schema.inputs, "image") if name not in self.readings]
        if missing:
            msg = f"{file}: column {missing[0]!r} is missing; pairs need {', '.join(schema.inputs)} and image"
            raise DataError(msg)
        named = self.readings["image"]
        self._named = (named.notna() & (named.astype(str).str.strip() != "")).to_numpy()
        try:
            table = detector.windows.table_windows(
                {str(name): self.readings[name].to_numpy() for name in self.readings}
            )
        except DetectorError as error:
            msg = f"{file}: {error}"
            raise DetectorError(msg) from error
        self._values = self.readings[self._inputs].to_numpy(dtype=np.float64)[table.row]
        self._end = np.full(len(table.row), -1)
        self._end[table.row[table.windows.ends]] = table.windows.ends
        self._whole = self._end >= 0
        self.rows = np.flatnonzero(self._named | self._whole)

    def batches(self) -> Iterator[tuple[np.ndarray, np.ndarray, list[np.ndarray | None]]]:
        """Rows, windows and images of all pairs in order; see `taken`."""
        for first in range(0, len(self.rows), BATCH):
            some = self.rows[first : first + BATCH]
            yield some, *self.taken(some)

    def taken(self, rows: np.ndarray) -> tuple[np.ndarray, list[np.ndarray | None]]:
        """Windows in raw units, (n, inputs, time), nan where there is none, and images of some rows.

        Raises:
            DataError: an image is no picture that can be used; the message names it.
        """
        windows = np.full((len(rows), len(self._inputs), self._length), np.nan)
        for number in np.flatnonzero(self._whole[rows]):
            end = self._end[rows[number]] + 1
            windows[number] = self._values[end - self._length : end].T
        return windows, [self._image(row) if self._named[row] else None for row in rows]

    def _image(self, row: int) -> np.ndarray:
        name = str(self.readings["image"].iloc[row])
        return decode_picture(self.file.parent / name, name, self._max_pixels)
