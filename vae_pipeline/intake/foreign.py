"""Is a table a batch of this dataset at all? Its clock, its sampling and the ranges of its columns say."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.util import hash_pandas_object

from vae_pipeline.sources.delimited import column

__all__ = ["foreign", "known_already"]

_FACTOR = 2.0
_HALF = 0.5


def foreign(rows: pd.DataFrame, raw: Path) -> str | None:
    """The sentence that says by which column a batch belongs to another dataset; None where nothing says so.

    A column does where more than half of its values lie outside of the dataset's own range, widened on both sides by
    its own width: far more than drift does. The clock does where it is of another type, or the usual step between rows
    is less than half of the dataset's shortest or more than twice its longest (5 % of the steps left out on each side).

    Args:
        rows: the batch's canonical table.
        raw: the dataset's own raw folder.
    """
    return _other_clock(rows, _own(raw, ["unit", "time"])) or _other_ranges(rows, raw)


def known_already(rows: pd.DataFrame, others: Iterable[pd.DataFrame], compared: list[str]) -> str | None:
    """The sentence that names a unit half of whose rows, or a file that, the dataset has already.

    Args:
        rows: of the batch.
        others: tables or indexes of the dataset and of its batches, in pieces of any size; one is needed at a time.
        compared: columns that make a row the same as another.
    """
    rows = rows.dropna(subset=compared, how="all")  # a file that cannot be read is the same as no other
    mine = _hashes(rows, compared)
    known = np.zeros(len(mine), dtype=bool)
    for other in others:
        known |= np.isin(mine, _hashes(other, compared))
    seen = pd.Series(known, index=rows.index)
    if not seen.any():
        return None
    share = seen.groupby(rows["unit"].astype(str), sort=False).mean()
    if share.max() < _HALF:
        return None
    unit = share.idxmax()
    return (
        f"unit {unit}: {int(seen.sum()):,} of the batch's {len(rows):,} rows are in the dataset already; send new ones"
    )


def _own(raw: Path, columns: list[str]) -> pd.DataFrame:
    """Columns of all of the dataset's own rows."""
    files = [raw / f"{part}.parquet" for part in ("train", "test")]
    return pd.concat([pd.read_parquet(file, columns=columns) for file in files if file.exists()])


def _other_clock(rows: pd.DataFrame, own: pd.DataFrame) -> str | None:
    clocks = [pd.api.types.is_datetime64_any_dtype(table["time"].dtype) for table in (rows, own)]
    if clocks[0] != clocks[1]:
        kinds = ["a timestamp" if clock else "a number" for clock in clocks]
        return f"column time holds {kinds[0]} where this dataset has {kinds[1]}; write the times in the same way"
    here, there = _steps(rows), _steps(own)
    if not len(here) or not len(there):
        return None
    step = float(np.median(here))
    low, high = np.quantile(there, [0.05, 0.95])
    if low / _FACTOR <= step <= high * _FACTOR:
        return None
    unit = " s" if clocks[0] else ""
    return (
        f"column time: one row every {step:g}{unit}, where this dataset has one every {np.median(there):g}{unit}: "
        "resample the batch, or put it where it belongs"
    )


def _steps(rows: pd.DataFrame) -> np.ndarray:
    """Steps forward between the rows of a unit, in seconds of timestamps."""
    time = rows["time"].reset_index(drop=True)
    steps = time.groupby(rows["unit"].reset_index(drop=True), sort=False).diff()
    if pd.api.types.is_datetime64_any_dtype(time.dtype):
        steps = steps.dt.total_seconds()
    steps = steps.to_numpy(np.float64)
    return steps[steps > 0]


def _other_ranges(rows: pd.DataFrame, raw: Path) -> str | None:
    source = json.loads((raw / "source.json").read_text())
    for name in (*source["sensors"], *source["settings"]):
        values, theirs = _finite(column(rows, name)), _finite(column(_own(raw, [name]), name))
        if not len(values) or not len(theirs):
            continue
        low, high = theirs.min(), theirs.max()
        width = max(high - low, 0.05 * max(abs(low), abs(high)), 1e-9)
        outside = np.mean((values < low - width) | (values > high + width))
        if outside > _HALF:
            return (
                f"column {name}: {outside:.0%} of its values are far from all of this dataset's, {values.min():.6g} to "
                f"{values.max():.6g} where it has {low:.6g} to {high:.6g}: put the batch where it belongs"
            )
    return None


def _finite(values: pd.Series) -> np.ndarray:
    numbers = values.to_numpy(np.float64)
    return numbers[np.isfinite(numbers)]


def _hashes(rows: pd.DataFrame, compared: list[str]) -> np.ndarray:
    some = rows[compared].dropna(how="all").reset_index(drop=True)
    numbers = some.select_dtypes("number").columns
    some[numbers] = some[numbers].astype(np.float64)
    return np.asarray(hash_pandas_object(some, index=False))  # pyright: ignore[reportCallIssue]
