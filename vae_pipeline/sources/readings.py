"""A file of new readings, to be scored: columns keep the names the catalogue gives them."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from vae_pipeline.errors import DataError
from vae_pipeline.records import Dataset, TableFiles
from vae_pipeline.sources.cmapss import read_rows
from vae_pipeline.sources.columns import numbers_of, times_of
from vae_pipeline.sources.delimited import column, place, read_frame
from vae_pipeline.sources.table import or_canonical

__all__ = ["read_readings"]


def read_readings(file: Path, dataset: Dataset, inputs: Sequence[str] = ()) -> pd.DataFrame:
    """The file's rows in their order, times and numbers read as those of the dataset's own files.

    A ``.txt`` file of a C-MAPSS dataset is read in that set's own layout, every other file as CSV or Parquet in the
    form of the dataset's own files. ``inputs`` are the columns that have to be numbers, as far as they are there.

    Raises:
        DataError: the file is missing, empty or cannot be read, or a value unfit; the message names it.
    """
    if not file.is_file():
        msg = f"{file}: there is no such file"
        raise DataError(msg)
    if dataset.kind in ("cmapss", "sample_turbofan") and file.suffix.lower() == ".txt":
        return read_rows(file).rename(columns={"time": dataset.columns.time})
    form = dataset.files or TableFiles(train="")
    frame = read_frame(file, form, dataset.columns.unit)

    def where(row: int) -> str:
        return place(file, row, form)

    time = or_canonical(dataset.columns.time, "time", frame)
    if time is not None and time in frame:
        frame[time] = times_of(column(frame, time), where)
    for name in inputs:
        if name in frame and not pd.api.types.is_numeric_dtype(frame[name].dtype):
            frame[name] = numbers_of(column(frame, name), where, form.decimal)
    return frame
