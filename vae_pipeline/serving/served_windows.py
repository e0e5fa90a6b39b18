"""Windows of readings, or tables whose windows are scored."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from vae_pipeline.detector.detector import Judged
from vae_pipeline.detector.session import BATCH
from vae_pipeline.detector.table_windows import TableWindows
from vae_pipeline.detector.windows import WindowDetector
from vae_pipeline.explanation.explanation import Explanation
from vae_pipeline.features.inputs import window_means
from vae_pipeline.features.windows import Windows
from vae_pipeline.serving.asked import Asked
from vae_pipeline.serving.batching import Chunk
from vae_pipeline.serving.bodies import MOST_COLUMNS, array, columns
from vae_pipeline.serving.body import CSV, JSON, NPY, PARQUET, Body
from vae_pipeline.serving.refused import Refused
from vae_pipeline.serving.schemas import WINDOWS, from_json
from vae_pipeline.serving.served import Samples, Served

__all__ = ["ServedWindows", "windows_of"]


class ServedWindows(Served[np.ndarray]):
    """A model of tables; a chunk is scaled windows, float32 (n, channels, time)."""

    READS = (JSON, CSV, PARQUET, NPY)
    AT_ONCE = (JSON, NPY)
    LARGEST = BATCH
    detector: WindowDetector

    def samples(self, body: Body, asked: Asked) -> Samples[np.ndarray]:
        """The windows of a body."""
        self.require_type(body)
        given = self._given(body, asked)
        if isinstance(given, np.ndarray):
            self.require_few(len(given), "windows")
            scaled = self.detector.scaled_windows(given).take(slice(None))
            return Samples(_chunks(scaled), [{"name": None} for _ in given], given.mean(axis=2))
        table = self.detector.table_windows(given)
        self.require_few(len(table.windows), "windows")
        notes = ()
        if table.short_units:
            length = self.detector.description.window
            named = ", ".join(table.short_units[:10])
            notes = (f"{len(table.short_units)} units have fewer than {length} rows and no score: {named}",)
        chunks = [Chunk(batch, len(batch)) for batch in table.windows.batches(BATCH)]
        return Samples(chunks, _names(table), self._means(given, table), notes)

    def judged(self, payloads: Sequence[np.ndarray]) -> list[Judged]:
        """Scores and latents of scaled windows."""
        n, _, time = (merged := np.concatenate(payloads)).shape
        rows = np.ascontiguousarray(merged.transpose(0, 2, 1)).reshape(n * time, -1)
        found = self.detector.judged(Windows(rows, np.arange(n, dtype=np.int64) * time, time))
        return found.split([len(payload) for payload in payloads])

    def explained(self, body: Body, asked: Asked) -> Iterator[Explanation]:
        """Why windows have their scores: all that are sent as windows, of a table a row or the highest."""
        self.require_type(body)
        given = self._given(body, asked)
        if isinstance(given, np.ndarray):
            self.require_few(len(given), "windows")
            for number, window in enumerate(given[: asked.top], start=1):
                yield from self.detector.explain_windows(window[None], [f"window {number}"])
            return
        table = self.detector.table_windows(given)
        if asked.row is None:  # all of them are scored
            self.require_few(len(table.windows), "windows")
        rows = None if asked.row is None else [asked.row - 1]
        for place in self.detector.chosen_windows(table, rows, asked.top):
            yield from self.detector.explain_scaled(table.windows.subset(np.array([place])), [table.named(place)])

    def _given(self, body: Body, asked: Asked) -> np.ndarray | Mapping[str, np.ndarray]:
        """Raw windows (n, channels, time), or the columns of a table."""
        if body.content_type == NPY:
            most = self.settings.max_body // 4
            return windows_of(array(body.content, field="windows", most=most), self.detector)
        if body.content_type == JSON:
            content = from_json(WINDOWS, body.content, names=MOST_COLUMNS)
            if content.windows is not None:
                return windows_of(content.windows, self.detector)
            found = _plain_columns(content.columns or {}, self.settings.max_rows)
        else:
            description = self.detector.description
            wanted = {*description.inputs, *description.unit_names, *description.time_names}
            found = columns(body, rows=self.settings.max_rows, wanted=wanted)
        found = {**found, **_written_numbers(found, self.detector.description.inputs)}
        require_known(found, self.detector.description.inputs, gaps=asked.gaps)
        return found

    def _means(self, given: Mapping[str, np.ndarray], table: TableWindows) -> np.ndarray:
        """Mean of each input over each window, shape (n, inputs), nan where nothing is known."""
        windows = table.windows
        columns = (np.asarray(given[name])[table.row] for name in self.detector.description.inputs)
        return np.stack([window_means(column, windows.starts, windows.length) for column in columns], axis=1)


def windows_of(given: object, detector: WindowDetector) -> np.ndarray:
    """Raw windows (n, channels, time) as the detector reads them.

    Raises:
        Refused: their shape is another, or a number is not finite.
    """
    expected = (len(detector.description.inputs), detector.description.window)
    try:
        found = np.asarray(given, dtype=np.float64)
    except (ValueError, TypeError) as error:
        msg = f"windows: are of unequal length; each needs {expected[0]} channels of {expected[1]} readings"
        raise Refused(422, msg, "windows") from error
    if found.ndim != 3 or found.shape[1:] != expected:
        channels = ", ".join(detector.description.inputs)
        msg = f"windows: have shape {found.shape}, not (n, {expected[0]}, {expected[1]}) with channels {channels}"
        raise Refused(422, msg, "windows")
    if not np.isfinite(found).all():
        place = ".".join(str(part) for part in np.argwhere(~np.isfinite(found))[0])
        msg = f"windows.{place}: is not finite; send readings that are numbers"
        raise Refused(422, msg, f"windows.{place}")
    return found


def require_known(found: Mapping[str, np.ndarray], names: Sequence[str], *, gaps: bool) -> None:
    """Refuse infinite readings, and missing ones where gaps are not to be filled.

    Raises:
        Refused: the message names column and row.
    """
    for name in names:
        column = found.get(name)
        if column is None or column.dtype.kind != "f":
            continue
        broken = np.isinf(column) if gaps else ~np.isfinite(column)
        if broken.any():
            row = int(np.flatnonzero(broken)[0])
            field = f"column {name!r}"
            if np.isinf(column[row]):
                msg = f"{field}, row {row + 1}: is infinite; send a number"
            else:
                msg = f"{field}, row {row + 1}: is missing; send it, or ask for gaps=true to take the last known value"
            raise Refused(422, msg, field)


def _written_numbers(found: Mapping[str, np.ndarray], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Inputs that came as texts, as the numbers that these write; an empty one is missing.

    Raises:
        Refused: a text is no number.
    """
    numbers = {}
    for name in names:
        if name not in found or found[name].dtype.kind in "fiub":
            continue
        texts = found[name]
        try:
            numbers[name] = np.where(texts == "", "nan", texts).astype(np.float64)
        except ValueError as error:
            msg = f"column {name!r}: is not numeric ({error}); send numbers"
            raise Refused(422, msg, f"column {name!r}") from error
    return numbers


def _chunks(scaled: np.ndarray) -> list[Chunk[np.ndarray]]:
    return [
        Chunk(scaled[first : first + BATCH], len(scaled[first : first + BATCH]))
        for first in range(0, len(scaled), BATCH)
    ]


def _names(table: TableWindows) -> list[dict[str, object]]:
    ends = table.windows.ends
    rows, units = (table.row[ends] + 1).tolist(), table.unit[ends].tolist()
    return [
        {"name": f"{table.unit_names[unit]}, row {row}", "unit": table.unit_names[unit], "row": row}
        for unit, row in zip(units, rows, strict=True)
    ]


def _plain_columns(given: Mapping[str, Sequence[float | str | None]], rows: int) -> dict[str, np.ndarray]:
    count = len(next(iter(given.values()), ()))
    for name, values in given.items():
        if len(values) != count:
            msg = f"columns.{name}: has {len(values):,} rows and the first column {count:,}; send as many"
            raise Refused(422, msg, f"columns.{name}")
    if not count:
        msg = "columns: there are no rows; send at least as many as a window holds"
        raise Refused(422, msg, "columns")
    if count > rows:
        msg = f"columns: {count:,} rows are more than the {rows:,} allowed; send fewer at once"
        raise Refused(413, msg, "columns")
    return {
        name: np.array(values, dtype=object) if any(isinstance(value, str) for value in values) else _numbers(values)
        for name, values in given.items()
    }


def _numbers(values: Sequence[float | str | None]) -> np.ndarray:
    """Numbers of JSON, which has one kind: whole ones are integers, so that a unit 7 is called 7, as in CSV."""
    found = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    whole = (np.trunc(found) == found) & (np.abs(found) < 2.0**53)
    return found.astype(np.int64) if whole.all() else found
