"""One CSV or Parquet file as a frame, and where in it a value stands."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from vae_pipeline.errors import DataError
from vae_pipeline.records import TableFiles

__all__ = ["as_numbers", "column", "missing_column", "place", "read_frame"]

PARQUET = (".parquet", ".pq")
_BLANKS = r"\s+"


def read_frame(file: Path, form: TableFiles, unit: str | None = None) -> pd.DataFrame:
    """The file's rows in their order; without a header the columns are ``column_1`` to ``column_n``.

    ``unit`` is the column of units, which the file may also call ``unit``: a cell ``NA`` is a name there, elsewhere
    nothing.

    Raises:
        DataError: the file is empty, a line has too many fields, a column is named twice, or it cannot be read.
    """
    try:
        if file.suffix.lower() in PARQUET:
            frame = pd.read_parquet(file).reset_index(drop=True)
            frame.columns = [str(name) for name in frame.columns]
        else:
            frame = _read_csv(file, form, () if unit is None else (unit, "unit"))
    except pd.errors.EmptyDataError as error:
        raise _empty(file) from error
    except pd.errors.ParserError as error:
        text = " ".join(str(error).split()).removeprefix("Error tokenizing data. C error: ")
        msg = f"{file}: {text}; correct the file, or 'separator' and 'header' in the catalogue"
        raise DataError(msg) from error
    except (OSError, ValueError) as error:  # pyarrow's errors are one or the other
        text = getattr(error, "strerror", None) or " ".join(str(error).split())
        msg = f"{file}: cannot be read as a table ({text}); write it as CSV in UTF-8 or as Parquet"
        raise DataError(msg) from error
    if frame.empty:
        raise _empty(file)
    return frame


def _empty(file: Path) -> DataError:
    return DataError(f"{file}: the file has no rows; fill it or leave it out of the catalogue")


def _read_csv(file: Path, form: TableFiles, units: tuple[str, ...]) -> pd.DataFrame:
    separator, header = form.separator, 0 if form.header else None
    if len(separator) != 1 and separator != _BLANKS:
        msg = f"{file}: the separator {separator!r} must be one character, or '{_BLANKS}' for blanks"
        raise DataError(msg)
    if form.header:
        _check_header(file, separator)
    options: dict[str, Any] = {"sep": separator, "decimal": form.decimal, "header": header, "low_memory": False}
    frame = pd.read_csv(file, index_col=False, **options)
    if not form.header:
        frame.columns = [f"column_{number + 1}" for number in range(frame.shape[1])]
    unit = next((name for name in units if name in frame), None)
    if unit is not None and bool(frame[unit].isna().any()):
        options |= {"usecols": [list(frame.columns).index(unit)], "keep_default_na": False, "na_values": [""]}
        again = pd.read_csv(file, **options)
        frame[unit] = again.iloc[:, 0]
    return frame


def _check_header(file: Path, separator: str) -> None:
    """Refuse what pandas would mend in silence: names given twice, and fields beyond the header, which it cuts off."""
    rows = _rows(file, separator)
    _, names = next(rows, (0, []))
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        msg = f"{file}: the column {twice[0]!r} is there twice; rename one"
        raise DataError(msg)
    line, first = next(rows, (0, []))
    if len(first) > len(names):
        msg = f"{file}, line {line}: {len(first)} fields, but the header has {len(names)}; correct the file"
        raise DataError(msg)


def _rows(file: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of every line that is not blank, as the slow but exact csv module sees them."""
    with file.open(newline="", encoding="utf-8-sig", errors="replace") as lines:
        if separator == _BLANKS:
            yield from ((number, line.split()) for number, line in enumerate(lines, start=1) if line.strip())
            return
        reader = csv.reader(lines, delimiter=separator)
        yield from ((reader.line_num, fields) for fields in reader if fields and fields != [""])


def place(file: Path, row: int, form: TableFiles) -> str:
    """Where row ``row`` (from 0) of the frame stands in the file, in words: ``file.csv, line 12``."""
    if file.suffix.lower() not in PARQUET:
        for index, (line, _) in enumerate(_rows(file, form.separator)):
            if index == row + form.header:
                return f"{file}, line {line}"
    return f"{file}, row {row + 1}"


def missing_column(file: Path, name: str, frame: pd.DataFrame) -> DataError:
    """The error that names the column, the file and the columns it has."""
    return DataError(
        f"{file}: the column {name!r} is missing; the file has {', '.join(map(str, frame.columns))}: correct the file "
        "or 'columns' in the catalogue"
    )


def column(frame: pd.DataFrame, name: str) -> pd.Series:
    """One column of a frame whose column names differ from each other."""
    return cast("pd.Series", frame[name])


def as_numbers(values: pd.Series, decimal: str = ".") -> tuple[np.ndarray, int | None]:
    """The column as float64, empty cells as nan, and the first row (from 0) that is text, or None.

    ``decimal`` is the mark of cells that are still text, as all of a column are where one is no number.
    """
    if pd.api.types.is_numeric_dtype(values.dtype):
        return values.to_numpy(np.float64, na_value=np.nan), None
    written = values
    if decimal == ",":  # a point then marks thousands, if anything: such a cell is no number
        written = values.astype("string").str.translate({ord("."): " ", ord(","): "."})
    # a plain series whatever to_numeric makes of the column's type
    numbers = pd.Series(pd.to_numeric(written, errors="coerce")).to_numpy(np.float64, na_value=np.nan)
    text = np.flatnonzero(np.isnan(numbers) & values.notna().to_numpy())
    return numbers, int(text[0]) if text.size else None
