"""A part as four frames an expectation can judge: its values, its rows, its units and its columns.

What Great Expectations cannot ask per unit (the step between cycles, the length of a gap) is computed here into
helper columns, so that the question becomes one about a column's values.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from vae_pipeline.errors import DataError
from vae_pipeline.records import Dataset

__all__ = ["Frames", "frames", "read_table"]

CYCLE_KINDS = ("cmapss", "sample_turbofan")


@dataclass(frozen=True)
class Frames:
    """One part of a dataset, ready to be judged; all frames are indexed from 0.

    Attributes:
        part: ``train`` or ``test``.
        table: the canonical table as it was read.
        values: the numeric settings and sensors, infinities blanked (``columns`` counts them).
        normal: ``values`` with the rows labelled anomalous blanked.
        rows: per row ``unit``, ``time``, ``step`` (time since the unit's row before; seconds for timestamps; blank
            where the key repeats), ``returns`` (1 where a unit goes on after another began), ``missing_run`` (rows for
            which a column has been missing) and ``missing_column`` (which), and ``label`` where there is one.
        units: per unit ``unit``, ``rows``, ``first`` (offset of its first row).
        columns: per column ``column``, ``role``, ``type`` (number, timestamp or text), and for numbers
            ``missing_share``, ``infinite_values`` and, for sensors, ``varies`` (1 or 0); offsets ``first_text``,
            ``first_missing``, ``first_infinite`` (-1: none).
        time_word: ``cycle`` or ``time``.
    """

    part: Literal["train", "test"]
    table: pd.DataFrame
    values: pd.DataFrame
    normal: pd.DataFrame
    rows: pd.DataFrame
    units: pd.DataFrame
    columns: pd.DataFrame
    time_word: str

    def place(self, offset: int) -> str:
        """A row in words: unit, row (from 1) and cycle or time."""
        row = self.table.iloc[int(offset)]
        return f"unit {row['unit']}, row {int(offset) + 1}, {self.time_word} {row['time']}"


def read_table(path: Path) -> pd.DataFrame:
    """The canonical table in a Parquet file.

    Raises:
        DataError: the file is missing or no Parquet.
    """
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        msg = f"{path}: no readable Parquet table ({' '.join(str(error).split())}); materialize the raw data again"
        raise DataError(msg) from error


def frames(
    part: Literal["train", "test"],
    table: pd.DataFrame,
    dataset: Dataset,
    settings: list[str],
    sensors: list[str],
) -> Frames:
    """The frames of a table that has rows and all its columns."""
    roles = {"time": "time", **dict.fromkeys(settings, "setting"), **dict.fromkeys(sensors, "sensor")}
    if dataset.labels.run_to_failure:
        roles["remaining_life"] = "remaining life"
    judged = _labelled_life(table)
    columns = _columns(judged, roles)
    numeric = columns.loc[(columns["type"] == "number") & (columns["role"] != "time"), "column"].tolist()
    measured = pd.DataFrame(judged[numeric]).reset_index(drop=True)
    # blanked, so that an infinity is told once, as such, and not again as a value out of range
    values = measured.astype("float64")
    values = values.where(np.isfinite(values.to_numpy()))
    unit = pd.Series(table["unit"].array)
    starts = (unit != unit.shift()).to_numpy()
    rows = pd.DataFrame({"unit": unit, "time": table["time"].reset_index(drop=True)})
    rows["step"] = _steps(rows, counted=dataset.kind in CYCLE_KINDS)
    rows["returns"] = (starts & unit.duplicated().to_numpy() & unit.notna().to_numpy()).astype("int64")
    rows["missing_run"], rows["missing_column"] = _missing_runs(measured, unit)
    normal = values
    if "label" in table:
        rows["label"] = table["label"].reset_index(drop=True)
        normal = values.copy()
        normal.loc[(rows["label"] == 1).fillna(False).to_numpy(dtype=bool)] = np.nan
    units = (
        pd.DataFrame({"unit": unit, "first": np.arange(len(unit))})
        .groupby("unit", sort=False, dropna=False)
        .agg(rows=("first", "size"), first=("first", "min"))
        .reset_index()
    )
    word = "cycle" if dataset.kind in CYCLE_KINDS else "time"
    return Frames(part, table.reset_index(drop=True), values, normal, rows, units, columns, word)


def _labelled_life(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a remaining life wherever a label stands in for one: nothing is missing there."""
    if "remaining_life" not in table or "label" not in table:
        return table
    life = pd.Series(table["remaining_life"])
    return table.assign(remaining_life=life.mask(life.isna() & pd.Series(table["label"]).notna(), 0.0))


def _columns(table: pd.DataFrame, roles: dict[str, str]) -> pd.DataFrame:
    """One row per column: what it holds and how much of it is missing, infinite or the same."""
    found: list[dict[str, Any]] = []
    for name, role in roles.items():
        column = table[name]
        entry: dict[str, Any] = {
            "column": name,
            "role": role,
            "type": "number",
            "missing_share": np.nan,
            "infinite_values": np.nan,
            "varies": np.nan,
            "first_text": -1,
            "first_missing": -1,
            "first_infinite": -1,
        }
        if pd.api.types.is_datetime64_any_dtype(column) and role == "time":
            entry["type"] = "timestamp"
        elif not pd.api.types.is_numeric_dtype(column):
            entry["type"] = "text"
            numbers = pd.Series(pd.to_numeric(column.astype("string"), errors="coerce"))
            no_number = column.notna().to_numpy() & numbers.isna().to_numpy()
            # digits kept as text are text all the same: then the first row stands for all
            entry["first_text"] = max(_first(no_number), 0)
        else:
            array = column.to_numpy(dtype="float64", na_value=np.nan)
            missing, infinite = np.isnan(array), np.isinf(array)
            seen = array[np.isfinite(array)]
            entry |= {
                "infinite_values": int(infinite.sum()),
                "first_infinite": _first(infinite),
                "varies": float(len(seen) > 0 and seen.min() < seen.max()) if role == "sensor" else np.nan,
                "missing_share": float(missing.mean()),
                "first_missing": _first(missing),
            }
        if entry["type"] == "text":
            missing = column.isna().to_numpy()
            entry |= {"missing_share": float(missing.mean()), "first_missing": _first(missing)}
        if role == "time":
            # a missing time is a missing key
            entry |= {"missing_share": np.nan, "first_missing": -1}
        found.append(entry)
    return pd.DataFrame(found)


def _first(mask: np.ndarray) -> int:
    return int(mask.argmax()) if mask.any() else -1


def _steps(rows: pd.DataFrame, *, counted: bool) -> np.ndarray:
    """Time since the row before of the same unit; a unit's first row counts from 0 where cycles are counted."""
    time = rows["time"]
    if pd.api.types.is_datetime64_any_dtype(time):
        steps = time.groupby(rows["unit"], sort=False).diff().dt.total_seconds()
    elif pd.api.types.is_numeric_dtype(time):
        steps = time.astype("float64").groupby(rows["unit"], sort=False).diff()
    else:
        return np.full(len(rows), np.nan)
    if counted:
        first = ~rows["unit"].duplicated()
        steps = steps.where(~first, time)
    # a step of 0 is a repeated key, which has its own statement; where cycles are counted a first cycle 0 is none
    repeated = (steps == 0) & rows["unit"].duplicated()
    return steps.mask(repeated).to_numpy(dtype="float64", na_value=np.nan)


def _missing_runs(table: pd.DataFrame, unit: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """For each row the longest run of missing values, within its unit, that reaches it, and whose column it is."""
    longest = np.zeros(len(table), dtype="int64")
    which = np.full(len(table), "", dtype=object)
    offsets = np.arange(len(table))
    codes = pd.factorize(unit)[0]
    # a unit's rows may lie apart
    together = np.argsort(codes, kind="stable")
    starts = np.diff(codes[together], prepend=-2) != 0
    for name in table.columns[table.isna().any()]:
        missing = table[name].isna().to_numpy()[together]
        anchor = np.where(~missing, offsets, np.where(starts, offsets - 1, -1))
        runs = np.empty_like(offsets)
        runs[together] = offsets - np.maximum.accumulate(anchor)
        longer = runs > longest
        longest[longer], which[longer] = runs[longer], name
    return longest, which
