"""One day, or several, of the prediction log in bounded memory: exact counts of all rows, a fair sample of them.

Rows are streamed batch by batch. The sample is the rows with the smallest of uniform random keys, one drawn for each
row, so that every set of rows of that size is equally likely whatever the number of rows and files.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vae_pipeline.errors import SettingError
from vae_pipeline.features.arrow import to_numpy
from vae_pipeline.monitoring.prediction_log import SCHEMA
from vae_pipeline.monitoring.reading import DamagedLogError, is_log_file, log_batches, log_folder
from vae_pipeline.records import Line
from vae_pipeline.storage import Storage

__all__ = ["SAMPLED", "DayLog", "Span", "read_days"]

SAMPLED = 5000
"""Rows of the sample."""

_COLUMNS = ("time", "request", "version", "name", "score", "alarm", "inputs", "latent")
_SAMPLE = pa.schema([SCHEMA.field(name) for name in _COLUMNS])
_NAMED = 20
"""Skipped files whose reasons are kept."""


@dataclass(frozen=True)
class Span:
    """Whole days in UTC, the last one included."""

    first: dt.date
    last: dt.date

    @classmethod
    def of(cls, day: str | None, until: str | None = None) -> "Span":
        """From ISO dates; yesterday where there is none, one day where ``until`` is left out.

        Raises:
            SettingError: a text is no date, or the span ends before it begins.
        """
        try:
            first = dt.date.fromisoformat(day) if day else dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
            last = dt.date.fromisoformat(until) if until else first
        except ValueError as error:
            msg = f"day {day!r}, until {until!r}: {error}; write dates as 2026-03-01"
            raise SettingError(msg) from error
        if last < first:
            msg = f"until {last}: lies before day {first}; state the first day first"
            raise SettingError(msg)
        return cls(first, last)

    @property
    def name(self) -> str:
        """The day, or ``first_last``."""
        return f"{self.first}" if self.first == self.last else f"{self.first}_{self.last}"

    def days(self) -> Iterator[dt.date]:
        """Every day of it."""
        for number in range((self.last - self.first).days + 1):
            yield self.first + dt.timedelta(days=number)


@dataclass
class DayLog:
    """What the log of a span says of one version.

    Attributes:
        rows, alarms: of that version.
        mean, squares: mean of all scores, and the sum of squares about it.
        other_versions: rows of other versions.
        broken_rows: rows whose score is not finite, which are left out.
        files: that were read; ``skipped_files`` could not be, and ``skipped`` says why of the first twenty.
        sample: a uniform sample of the rows, with the columns `_COLUMNS` of the log, in order of time.
    """

    rows: int = 0
    alarms: int = 0
    mean: float = 0.0
    squares: float = 0.0
    other_versions: int = 0
    broken_rows: int = 0
    files: int = 0
    skipped_files: int = 0
    skipped: list[str] = field(default_factory=list)
    sample: pa.Table = field(default_factory=_SAMPLE.empty_table)

    @property
    def sd(self) -> float:
        """Of all scores; 0 of a single one."""
        return float(np.sqrt(self.squares / (self.rows - 1))) if self.rows > 1 else 0.0

    @property
    def alarm_share(self) -> float:
        """Of all rows."""
        return self.alarms / self.rows if self.rows else 0.0

    def add(self, other: "DayLog") -> None:
        """Take the counts and moments of other rows (Chan et al. 1979)."""
        if other.rows:
            both = self.rows + other.rows
            apart = other.mean - self.mean
            self.squares += other.squares + apart**2 * self.rows * other.rows / both
            self.mean += apart * other.rows / both
            self.rows = both
        self.alarms += other.alarms
        self.other_versions += other.other_versions
        self.broken_rows += other.broken_rows


class _Reservoir:
    """The rows with the smallest keys so far."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.bound = np.inf
        self.keys: list[np.ndarray] = []
        self.parts: list[pa.Table] = []
        self._held = 0

    def add(self, keys: np.ndarray, rows: pa.Table) -> None:
        """Take those rows whose keys are small enough."""
        chosen = np.flatnonzero(keys < self.bound)
        if len(chosen):
            self.keys.append(keys[chosen])
            # a copy: a slice would hold the whole batch in memory
            self.parts.append(rows.take(pa.array(chosen.tolist(), pa.int64())))
            self._held += len(chosen)
        if self._held > 4 * self.most:
            self._keep()

    def merge(self, other: "_Reservoir") -> None:
        """Take what another one holds."""
        for keys, rows in zip(other.keys, other.parts, strict=True):
            self.add(keys, rows)

    def _keep(self) -> None:
        keys, rows = np.concatenate(self.keys), pa.concat_tables(self.parts)
        smallest = np.sort(np.argsort(keys, kind="stable")[: self.most])
        self.keys, self.parts = [keys[smallest]], [rows.take(pa.array(smallest.tolist(), pa.int64()))]
        self._held = len(smallest)
        if self._held == self.most:
            self.bound = float(self.keys[0].max())

    def table(self) -> pa.Table:
        """The rows, in order of time."""
        if not self.parts:
            return _SAMPLE.empty_table()
        self._keep()
        return self.parts[0].combine_chunks().sort_by([("time", "ascending"), ("request", "ascending")])


def read_days(
    storage: Storage, line: Line, dataset: str, version: int, span: Span, *, most: int = SAMPLED, seed: int = 0
) -> DayLog:
    """What the log of these days says of a version.

    A file that is truncated, foreign or gone is skipped, counted and told: none of its rows counts.

    Args:
        storage: where the log lies, under ``predictions/<line>/<dataset>/<day>/<hour>/``.
        line: of the model.
        dataset: of the model.
        version: rows of others are counted and left out.
        span: which days.
        most: rows of the sample.
        seed: of the sample; the same files and seed give the same one.

    Raises:
        StorageError: the storage cannot be read.
    """
    random = np.random.default_rng(seed)
    log, reservoir = DayLog(), _Reservoir(most)
    for day in span.days():
        for held in storage.files(log_folder(line, dataset, day.isoformat())):
            if not is_log_file(held.key.rpartition("/")[2]):
                continue
            log.files += 1
            found, rows = DayLog(), _Reservoir(most)
            rows.bound = reservoir.bound
            try:
                _read(log_batches(storage, held.key, _COLUMNS), version, random, found, rows)
            except DamagedLogError as error:
                log.skipped_files += 1
                if len(log.skipped) < _NAMED:
                    log.skipped.append(f"{storage.root / held.key}: {error}")
                continue
            log.add(found)
            reservoir.merge(rows)
    log.sample = reservoir.table()
    return log


def _read(
    batches: Iterator[pa.RecordBatch], version: int, random: np.random.Generator, log: DayLog, reservoir: _Reservoir
) -> None:
    """Stream a file into an account of its own, so that one that breaks half-way leaves nothing behind."""
    for batch in batches:
        versions = to_numpy(batch.column("version"))
        scores = to_numpy(batch.column("score"))
        own, finite = versions == version, np.isfinite(scores)
        log.other_versions += int((~own).sum())
        log.broken_rows += int((own & ~finite).sum())
        kept = own & finite
        if not kept.any():
            continue
        rows = pa.Table.from_batches([batch])
        if not kept.all():
            places = np.flatnonzero(kept)
            rows, scores = rows.take(pa.array(places.tolist(), pa.int64())), scores[places]
        mean = float(scores.mean())
        squares = float(((scores - mean) ** 2).sum())
        alarms = int(pc.call_function("sum", [rows.column("alarm")]).as_py())
        log.add(DayLog(rows=len(scores), alarms=alarms, mean=mean, squares=squares))
        reservoir.add(random.random(len(scores)), rows.cast(_SAMPLE))
