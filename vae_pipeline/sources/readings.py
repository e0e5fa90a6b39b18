"""A file of new readings, to be scored: columns keep the names the catalogue gives them."""

from pathlib import Path

import pandas as pd

from vae_pipeline.errors import DataError
from vae_pipeline.records import Dataset, TableFiles
from vae_pipeline.sources.cmapss import read_rows
from vae_pipeline.sources.delimited import read_frame

__all__ = ["read_readings"]


def read_readings(file: Path, dataset: Dataset) -> pd.DataFrame:
    """The file's rows in their order.

    A ``.txt`` file of a C-MAPSS dataset is read in that set's own layout, every other file as CSV or Parquet in the
    form of the dataset's own files.

    Raises:
        DataError: the file is missing, empty or cannot be read; the message names it.
    """
    if not file.is_file():
        msg = f"{file}: there is no such file"
        raise DataError(msg)
    if dataset.kind in ("cmapss", "sample_turbofan") and file.suffix.lower() == ".txt":
        return read_rows(file).rename(columns={"time": dataset.columns.time})
    form = dataset.files or TableFiles(train="")
    frame = read_frame(file, form)
    time = dataset.columns.time
    if time in frame and not pd.api.types.is_numeric_dtype(frame[time].dtype):
        try:
            frame[time] = pd.to_datetime(frame[time])
        except (ValueError, TypeError) as error:
            msg = f"{file}: column {time!r} holds no times that can be read: {error}"
            raise DataError(msg) from error
    return frame
