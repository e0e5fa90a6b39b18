"""From a source's columns to canonical rows; those that cannot be read are set aside, each with its reason."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from vae_pipeline.connectors.config import RowColumns
from vae_pipeline.errors import DataError
from vae_pipeline.sources.delimited import column

__all__ = ["CanonicalRows", "canonical", "empty_rows", "value_columns"]

_NANOSECONDS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_HIGHEST = 2**62  # nanoseconds, the year 2116: far from what int64 cannot hold after additions


@dataclass(frozen=True)
class CanonicalRows:
    """Rows in the order of the source.

    ``rows`` has ``unit`` (text), ``time`` (int64 nanoseconds since 1970, or float64 for plain numbers), ``tag`` (text,
    empty in the wide form) and float64 values: the sensors, or ``value`` in the long form. ``refused`` holds what could
    not be read as ``{"reason": …, "row": …}``; ``other_tags`` counts rows of tags that are no sensor.
    """

    rows: pd.DataFrame
    refused: tuple[dict[str, Any], ...] = ()
    other_tags: int = 0


def value_columns(columns: RowColumns) -> list[str]:
    """The names of the value columns of canonical rows."""
    return list(columns.sensors) if columns.tag is None else ["value"]


def empty_rows(columns: RowColumns) -> pd.DataFrame:
    """No rows, in canonical form."""
    clock = np.float64 if columns.clock == "number" else np.int64
    return pd.DataFrame(
        {
            "unit": pd.Series(dtype=object),
            "time": pd.Series(dtype=clock),
            "tag": pd.Series(dtype=object),
            **{name: pd.Series(dtype=np.float64) for name in value_columns(columns)},
        }
    )


def canonical(raw: pd.DataFrame, columns: RowColumns, *, unit: str, place: str, strict: bool) -> CanonicalRows:
    """Read the columns of a source in their roles.

    Args:
        raw: columns as the source names them.
        columns: what they mean.
        unit: the unit's name where the source has none.
        place: the source in words, for messages.
        strict: refuse all where a column is missing, instead of single rows that lack a unit, time or all sensors.

    Raises:
        DataError: a column is missing and ``strict``.
    """
    if raw.empty:
        return CanonicalRows(empty_rows(columns))
    raw = raw.reset_index(drop=True)
    sources = {name: name if columns.tag else source for name, source in _sources(columns).items()}
    if strict:
        _require(raw, [columns.time, columns.unit, columns.tag, *sources.values()], place)
    reasons: list[str | None] = [None] * len(raw)
    found: dict[str, Any] = {"unit": _units(raw, columns.unit, unit, reasons), "time": _times(raw, columns, reasons)}
    found["tag"] = "" if columns.tag is None else _text(raw, columns.tag, reasons)
    for name, source in sources.items():
        found[name] = _numbers(raw, source if columns.tag is None else str(columns.value), reasons)
    rows = pd.DataFrame(found, index=raw.index)
    _refuse_empty(rows, list(sources), columns, reasons)
    good = np.array([reason is None for reason in reasons])
    refused = tuple(
        {"reason": reasons[row], "row": _plain(raw.iloc[row].to_dict())} for row in np.flatnonzero(~good).tolist()
    )
    rows, others = rows.loc[good], 0
    if columns.tag is not None:
        names = {source: name for name, source in columns.sensors.items()}
        wanted = column(rows, "tag").isin(list(names)).to_numpy(dtype=bool)
        others = int((~wanted).sum())
        rows = rows.loc[wanted].assign(tag=lambda kept: kept["tag"].map(names))
    if columns.clock != "number":
        rows = rows.astype({"time": np.int64})
    return CanonicalRows(rows.reset_index(drop=True), refused, others)


def _sources(columns: RowColumns) -> dict[str, str]:
    return columns.sensors if columns.tag is None else {"value": str(columns.value)}


def _require(raw: pd.DataFrame, names: list[str | None], place: str) -> None:
    for name in names:
        if name is not None and name not in raw:
            has = ", ".join(str(column) for column in raw.columns)
            msg = f"{place}: the column {name!r} is missing; it has {has}: correct 'columns' of the connector"
            raise DataError(msg)


def _given(raw: pd.DataFrame, name: str) -> pd.Series:
    return column(raw, name) if name in raw else pd.Series([None] * len(raw), index=raw.index, dtype=object)


def _blank(values: pd.Series) -> np.ndarray:
    return values.isna().to_numpy(dtype=bool) | (values.astype(str).str.strip().to_numpy() == "")


def _note(reasons: list[str | None], rows: np.ndarray, name: str, values: pd.Series, what: str) -> None:
    for row in np.flatnonzero(rows).tolist():
        if reasons[row] is None:
            reasons[row] = f"column {name!r}: {what.format(repr(_plain(values.iloc[row])))}"


def _units(raw: pd.DataFrame, name: str | None, unit: str, reasons: list[str | None]) -> np.ndarray:
    if name is None:
        return np.full(len(raw), unit, dtype=object)
    return _text(raw, name, reasons)


def _text(raw: pd.DataFrame, name: str, reasons: list[str | None]) -> np.ndarray:
    values = _given(raw, name)
    _note(reasons, _blank(values), name, values, "is empty")
    if pd.api.types.is_float_dtype(values.dtype) and not np.any(values.dropna().to_numpy() % 1):
        values = values.astype("Int64")  # a column of ids with one empty cell arrives as 1.0
    return values.astype(str).to_numpy(dtype=object)


def _times(raw: pd.DataFrame, columns: RowColumns, reasons: list[str | None]) -> np.ndarray:
    name, clock = columns.time, columns.clock
    values = _given(raw, name)
    if clock == "iso":
        return _iso(values, name, reasons)
    if clock == "number":
        found = pd.Series(pd.to_numeric(values, errors="coerce")).to_numpy(np.float64, na_value=np.nan)
        _note(reasons, ~np.isfinite(found), name, values, "{} is no number")
        return found
    factor = _NANOSECONDS[clock]
    found = [_since_1970(value, factor) for value in values.tolist()]
    broken = np.array([time is None for time in found], dtype=bool)
    _note(reasons, broken, name, values, f"{{}} is no time in {clock} since 1970")
    return np.array([time or 0 for time in found], dtype=np.int64)


def _since_1970(value: Any, factor: int) -> int | None:
    """Nanoseconds; one by one, as a missing value beside them would make integers of a column inexact."""
    try:
        if isinstance(value, str):
            value = float(value) if "." in value or "e" in value.lower() else int(value)
        if isinstance(value, bool) or not abs(value) * factor < _HIGHEST:
            return None
        if isinstance(value, int):
            return value * factor
        seconds = int(value // 1)
        # a float holds microseconds of today, not nanoseconds: what is behind them is noise
        return seconds * factor + round(float(value - seconds) * factor / 1000) * 1000
    except (TypeError, ValueError, OverflowError):
        return None


def _iso(values: pd.Series, name: str, reasons: list[str | None]) -> np.ndarray:
    dated = pd.api.types.is_datetime64_any_dtype(values.dtype)
    text = values if dated else values.map(lambda value: value.isoformat() if hasattr(value, "isoformat") else value)
    if not dated:
        text = text.where(text.map(lambda value: isinstance(value, str)), None)  # a bare number is no ISO time
    times = pd.to_datetime(text, format=None if dated else "ISO8601", utc=True, errors="coerce")
    broken = times.isna().to_numpy(dtype=bool)
    _note(reasons, broken, name, values, "{} is no time in ISO 8601; if it is a number, state columns.clock")
    return times.astype("datetime64[ns, UTC]").astype(np.int64).to_numpy()


def _numbers(raw: pd.DataFrame, name: str, reasons: list[str | None]) -> np.ndarray:
    values = _given(raw, name)
    if pd.api.types.is_numeric_dtype(values.dtype):
        return values.to_numpy(np.float64, na_value=np.nan)
    blank = _blank(values)
    numbers = pd.to_numeric(values.where(~blank, None), errors="coerce")
    found = pd.Series(numbers).to_numpy(np.float64, na_value=np.nan)
    _note(reasons, np.isnan(found) & ~blank, name, values, "{} is no number")
    return found


def _refuse_empty(rows: pd.DataFrame, values: list[str], columns: RowColumns, reasons: list[str | None]) -> None:
    what = ", ".join(columns.sensors.values()) if columns.tag is None else str(columns.value)
    missing = np.isnan(np.asarray(rows.loc[:, values], dtype=np.float64))
    for row in np.flatnonzero(missing.sum(axis=1) == len(values)).tolist():
        if reasons[row] is None:
            reasons[row] = f"no value of {what}"


def _plain(value: Any) -> Any:
    """The value as JSON can hold it."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return str(value)
