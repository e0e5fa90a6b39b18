"""Times of a table's rows, as something rows can be sorted by."""

from datetime import UTC, datetime

import numpy as np

from vae_pipeline.errors import DetectorError

__all__ = ["sortable"]

_EMPTY = ("", "None", "NaT", "nan", "<NA>")


def sortable(times: np.ndarray, name: str) -> np.ndarray:
    """Numbers or moments, shape (n,); what is missing is sorted to the end.

    Text is read and never sorted as it is written, by which 10 comes before 9 and 31.01. behind 01.02.: as numbers if
    all of it is, else as ISO 8601, with a zone in every row or in none.

    Raises:
        DetectorError: it is neither; the message names column and row.
    """
    times = np.asarray(times)
    if times.dtype.kind not in "OSU":
        return times
    texts = [str(time).strip() for time in times.tolist()] if times.dtype.kind != "S" else times.astype(str).tolist()
    try:
        return np.array(["nan" if text in _EMPTY else text for text in texts]).astype(np.float64)
    except ValueError:
        return _moments(texts, name)


def _moments(texts: list[str], name: str) -> np.ndarray:
    """Microseconds in UTC, or on the clock that all rows share, as datetime64 (n,)."""
    found: list[datetime | None] = []
    zoned: bool | None = None
    for row, text in enumerate(texts, start=1):
        if text in _EMPTY:
            found.append(None)
            continue
        place = f"column {name!r}, row {row}"
        try:
            written = datetime.fromisoformat(text)
            moment = written if written.tzinfo is None else written.astimezone(UTC).replace(tzinfo=None)
        except (ValueError, OverflowError) as error:
            msg = f"{place}: {text!r} is no time that can be sorted; write 2024-01-31 12:00:00, or numbers alone"
            raise DetectorError(msg) from error
        zoned = written.tzinfo is not None if zoned is None else zoned
        if zoned != (written.tzinfo is not None):
            rest = "lacks a zone, which rows before it have" if zoned else "has a zone, which rows before it lack"
            msg = f"{place}: {text!r} {rest}; write one in all rows, or in none"
            raise DetectorError(msg)
        found.append(moment)
    return np.array(found, dtype="datetime64[us]")
