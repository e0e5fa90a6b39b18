"""One column of a user's table in its role: unit, time, number or label; an unfit value is told with its line."""

import re
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd

from vae_pipeline.errors import DataError
from vae_pipeline.sources.delimited import as_numbers

__all__ = ["Where", "labels_of", "numbers_of", "times_of", "units_of"]

Where = Callable[[int], str]
"""Says in words where a row (from 0) stands: ``file.csv, line 12``."""

_ZONE = re.compile(r":\d\d(?:\.\d+)?\s*(?:Z|[+-]\d\d:?\d\d)$")


def numbers_of(values: pd.Series, where: Where, decimal: str = ".") -> np.ndarray:
    """The column as float64 (rows,); empty cells are nan, and ``decimal`` is the mark of numbers written as text.

    Raises:
        DataError: a cell is text.
    """
    numbers, text_row = as_numbers(values, decimal)
    if text_row is not None:
        text = str(values.iloc[text_row])
        msg = f"{where(text_row)}, column {values.name!r}: {text!r} is no number; correct it or leave it empty"
        raise DataError(msg)
    return numbers


def units_of(values: pd.Series, where: Where) -> np.ndarray:
    """The names of the rows' units, text (rows,).

    Raises:
        DataError: a cell is empty.
    """
    empty = np.flatnonzero(values.isna().to_numpy())
    if empty.size:
        msg = f"{where(int(empty[0]))}, column {values.name!r}: the unit is empty; name it"
        raise DataError(msg)
    if pd.api.types.is_float_dtype(values.dtype) and bool((values == np.floor(values)).all()):
        values = values.astype(np.int64)  # 1.0 in one file and 1 in the next are the same unit
    return values.astype(str).to_numpy(dtype=object)


def labels_of(values: pd.Series, where: Where) -> pd.api.extensions.ExtensionArray:
    """The column as Int8 (rows,): 1 anomalous, 0 normal, missing unknown.

    Raises:
        DataError: a cell is anything else.
    """
    numbers, row = as_numbers(values)
    broken = np.flatnonzero(~np.isnan(numbers) & (numbers != 0) & (numbers != 1))
    if row is None and broken.size:
        row = int(broken[0])
    if row is not None:
        text = str(values.iloc[row])
        msg = f"{where(row)}, column {values.name!r}: the label is {text!r}, but must be 0, 1 or empty; correct it"
        raise DataError(msg)
    unknown = np.isnan(numbers)
    return pd.arrays.IntegerArray(np.where(unknown, 0, numbers).astype(np.int8), unknown)


def times_of(values: pd.Series, where: Where) -> pd.Series:
    """The column as int64, float64 or, if it is no number, timestamps[ns] in UTC without a zone.

    Raises:
        DataError: a cell is no time, or of another form than the first.
    """
    kind = values.dtype
    if pd.api.types.is_datetime64_any_dtype(kind):
        return _without_zone(pd.to_datetime(values, utc=True))
    if pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind):
        if pd.api.types.is_integer_dtype(kind) and not values.isna().any():
            return values.astype(np.int64)
        return pd.Series(values.to_numpy(np.float64, na_value=np.nan))
    text = values.astype("string").str.strip()
    given = text.notna().to_numpy(dtype=bool)
    numeric = ~np.isnan(as_numbers(text)[0])
    zoned = text.str.contains(_ZONE).fillna(value=False).to_numpy(dtype=bool)
    for form in (numeric, zoned):
        mixed = np.flatnonzero(given & (form != form[given.argmax()]))
        if mixed.size:
            raise _odd_time(values, int(mixed[0]), where)
    return _timestamps(values, text, given, where)


def _timestamps(values: pd.Series, text: pd.Series, given: np.ndarray, where: Where) -> pd.Series:
    first_broken = 0
    # ISO first, which allows fractions of a second on some rows only; else the form of the first row for all
    for form in ("ISO8601", None):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # the day comes first: what does not fit is told below
                found = pd.to_datetime(text, format=form, errors="coerce", utc=True)
        except (ValueError, OverflowError):
            continue
        broken = np.flatnonzero(given & found.isna().to_numpy())
        if not broken.size:
            return _without_zone(found)
        first_broken = max(first_broken, int(broken[0]))
    raise _odd_time(values, first_broken, where)


def _without_zone(times: pd.Series) -> pd.Series:
    return times.dt.tz_localize(None).astype("datetime64[ns]")


def _odd_time(values: pd.Series, row: int, where: Where) -> DataError:
    return DataError(
        f"{where(row)}, column {values.name!r}: {str(values.iloc[row])!r} is no time of the same form as the first; "
        "write all as 2024-01-31 12:00:00, or all as numbers"
    )
