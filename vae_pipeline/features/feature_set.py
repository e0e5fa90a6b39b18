"""A features folder, opened: windows of a part and what is known of each."""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vae_pipeline.errors import DataError
from vae_pipeline.features.inputs import known_means
from vae_pipeline.features.labels import whole_windows
from vae_pipeline.features.scaling import RegimeScaler
from vae_pipeline.features.splits import Segment
from vae_pipeline.features.windows import Windows
from vae_pipeline.records import Part

__all__ = ["FOLDS", "SETTINGS", "FeatureSet", "fold_folders"]

SETTINGS = "settings.npy"

FOLDS = "folds"
"""Leave-out folds of a set with few units, each a features folder of its own."""

_ROW_ARRAYS = ("unit", "time", "label", "remaining_life", "healthy", "file_row")


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """Scaled rows of all units with their labels; the rows stay on disk until a window is read.

    Attributes:
        folder: where it was opened.
        rows: shape (n_rows, channels), float32, memory-mapped.
        row_unit: index into ``segments``, shape (n_rows,), int32; -1 for rows in a gap between parts.
        row_time: the table's time, shape (n_rows,), float64; timestamps in seconds since 1970.
        row_label: 1 anomalous, 0 normal, -1 unknown, shape (n_rows,), int8.
        row_remaining_life: cycles to failure, shape (n_rows,), float32, NaN unknown.
        row_healthy: the row may be fitted on, shape (n_rows,), bool.
        file_row: where the row stands in its raw file, from 0, shape (n_rows,), int64.
        sensors: names of the channels.
        settings: names of the settings the scaler reads.
        length: rows in a window.
        stride: rows from one window to the next.
        scaler: how rows were scaled.
        segments: runs of rows of one unit and part, in row order.
        row_settings: raw settings, shape (n_rows, settings), float32, memory-mapped; None where there is one regime, or
            the folder was made before they were kept.
    """

    folder: Path
    rows: np.ndarray
    row_unit: np.ndarray
    row_time: np.ndarray
    row_label: np.ndarray
    row_remaining_life: np.ndarray
    row_healthy: np.ndarray
    file_row: np.ndarray
    sensors: tuple[str, ...]
    settings: tuple[str, ...]
    length: int
    stride: int
    scaler: RegimeScaler
    segments: tuple[Segment, ...]
    row_settings: np.ndarray | None = None

    @classmethod
    def open(cls, folder: Path) -> "FeatureSet":
        """Open what ``build`` wrote.

        Raises:
            DataError: a file is missing or cannot be read; the message names it.
        """
        try:
            about = json.loads((folder / "features.json").read_text())
            rows = np.load(folder / "rows.npy", mmap_mode="r")
            known = (folder / SETTINGS).exists()
            row_settings = np.load(folder / SETTINGS, mmap_mode="r") if known else None
            with np.load(folder / "rows.npz") as arrays:
                row = {name: arrays[name] for name in _ROW_ARRAYS}
            with np.load(folder / "scaling.npz") as arrays:
                scaler = RegimeScaler.from_arrays(dict(arrays))
            segments = tuple(Segment(**unit) for unit in about["units"])
            window = about["window"]
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            msg = f"{folder}: no usable features folder ({error}); materialize the features again"
            raise DataError(msg) from error
        return cls(
            folder=folder,
            rows=rows,
            row_unit=row["unit"],
            row_time=row["time"],
            row_label=row["label"],
            row_remaining_life=row["remaining_life"],
            row_healthy=row["healthy"],
            file_row=row["file_row"],
            sensors=tuple(about["sensors"]),
            settings=tuple(about["settings"]),
            length=int(window["length"]),
            stride=int(window["stride"]),
            scaler=scaler,
            segments=segments,
            row_settings=row_settings,
        )

    @property
    def unit_names(self) -> tuple[str, ...]:
        """The unit's name for each code that ``units`` gives; train and test units may share a name, never a code."""
        return tuple(segment.name for segment in self.segments)

    def windows(self, part: Part, healthy_only: bool = False) -> Windows:
        """Windows of one part in row order; with ``healthy_only`` those whose rows all may be fitted on."""
        starts = [
            Windows.starts_of(segment.start, segment.stop, self.length, self.stride)
            for segment in self.segments
            if segment.part == part
        ]
        found = Windows(self.rows, np.concatenate([np.empty(0, dtype=np.int64), *starts]), self.length)
        return found.subset(whole_windows(self.row_healthy, found.starts, self.length)) if healthy_only else found

    def labels(self, windows: Windows) -> np.ndarray:
        """1 anomalous, 0 normal, -1 unknown at each window's last row, shape (n_windows,), int8."""
        return self.row_label[windows.ends]

    def remaining_life(self, windows: Windows) -> np.ndarray:
        """Cycles to failure at each window's last row, shape (n_windows,), float32, NaN unknown."""
        return self.row_remaining_life[windows.ends]

    def times(self, windows: Windows) -> np.ndarray:
        """The table's time at each window's last row, shape (n_windows,), float64."""
        return self.row_time[windows.ends]

    def units(self, windows: Windows) -> np.ndarray:
        """Code of each window's unit, an index into ``unit_names``, shape (n_windows,), int32."""
        return self.row_unit[windows.ends]

    def inputs(self, windows: Windows) -> np.ndarray | None:
        """Mean of each sensor, and of each setting where regimes matter, over each window, in raw units.

        Shape (n_windows, inputs), as the prediction log keeps them; None where settings matter and were not kept.
        Values that were missing count as the ones they were filled with.
        """
        several = self.scaler.regimes > 1
        if several and self.row_settings is None:
            return None
        found = []
        for start in windows.starts.tolist():
            rows = slice(start, start + windows.length)
            scaled = np.asarray(windows.rows[rows])
            settings = np.empty((len(scaled), 0)) if self.row_settings is None else np.asarray(self.row_settings[rows])
            raw = self.scaler.restored(scaled, settings)
            found.append(known_means(np.concatenate([raw, settings], axis=1) if several else raw, axis=0))
        return np.array(found).reshape(len(found), -1)

    def age(self, windows: Windows) -> np.ndarray:
        """Rows from the unit's first row to each window's last, 0 at the first, shape (n_windows,), int64."""
        first = np.array([segment.first for segment in self.segments], dtype=np.int64)
        return windows.ends - first[self.units(windows)]


def fold_folders(folder: Path) -> list[Path]:
    """The leave-out folds in a features folder, in order; none where there are enough units."""
    return sorted(path for path in (folder / FOLDS).glob("*") if path.is_dir())
