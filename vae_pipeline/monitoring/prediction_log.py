"""What was answered, kept as Parquet files by hour: what drift is judged on, and what an audit reads.

Rows are gathered in memory and written by a thread of their own, so that no answer waits for a disk. A file appears
whole or not at all; what a crash loses is what was answered since the last one was written, at most ``every`` seconds.
A file that is written again, since the storage's answer was lost, has the same name and the same rows.
Files lie under ``predictions/<line>/<dataset>/<day>/<hour>/``.
"""

import datetime as dt
import io
import logging
import threading
import uuid
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vae_pipeline.errors import VaePipelineError
from vae_pipeline.features.arrow import lists_to_arrow, text_to_arrow, times_to_arrow, to_arrow, truths_to_arrow
from vae_pipeline.storage import Storage

__all__ = ["SCHEMA", "Answered", "PredictionLog", "table_of"]

_LOGGER = logging.getLogger(__name__)

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("time", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("request", pa.string(), nullable=False),
        pa.field("version", pa.int32(), nullable=False),
        pa.field("name", pa.string()),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("alarm", pa.bool_(), nullable=False),
        pa.field("threshold", pa.float64(), nullable=False),
        pa.field("latency", pa.float32(), nullable=False),
        pa.field("inputs", pa.list_(pa.float32()), nullable=False),
        pa.field("latent", pa.list_(pa.float32()), nullable=False),
    ]
)
"""One row a sample. ``request`` is shared by the samples of one request; ``latency`` is its seconds; ``inputs`` are the
means of the sample's inputs: sensors, mel bands or colours, in the units they came in."""


class Answered(NamedTuple):
    """The samples of one request and what was said of them.

    Attributes:
        dataset: whose model answered.
        version: of the model.
        request: identifies the request.
        time: when it was answered, aware.
        seconds: how long it took.
        threshold: that decided, one for all or one each, shape (n,).
        names: of the samples, None where they have none.
        score: shape (n,).
        alarm: boolean, shape (n,).
        inputs: shape (n, inputs), float32.
        latent: shape (n, latent), float32; nan where a modality was missing.
    """

    dataset: str
    version: int
    request: str
    time: dt.datetime
    seconds: float
    threshold: float | np.ndarray
    names: Sequence[str | None]
    score: np.ndarray
    alarm: np.ndarray
    inputs: np.ndarray
    latent: np.ndarray


class _Tried(NamedTuple):
    """A file that may have been written though its storage said otherwise; it keeps its name and its rows until then.

    Written under another name or with more rows, a row would stand twice, or escape who has read the file already.
    """

    name: str
    answers: list[Answered]


def table_of(answers: Sequence[Answered]) -> pa.Table:
    """The rows of some answers, in `SCHEMA`.

    Raises:
        ValueError: a name cannot be written as text.
    """
    counts = [len(answered.score) for answered in answers]

    def repeated(values: Sequence[Any], dtype: type) -> np.ndarray:
        return np.repeat(np.array(values, dtype=dtype), counts)

    def lists(parts: Sequence[np.ndarray]) -> pa.Array:
        lengths = [np.full(len(part), part.shape[1] if part.ndim == 2 else 0) for part in parts]
        return lists_to_arrow(np.concatenate([part.reshape(-1) for part in parts]), np.concatenate(lengths))

    columns = [
        text_to_arrow([f"{each.request}-{place}" for each in answers for place in range(len(each.score))]),
        times_to_arrow(repeated([round(each.time.timestamp() * 1e6) for each in answers], np.int64)),
        text_to_arrow([each.request for each in answers for _ in range(len(each.score))]),
        to_arrow(repeated([each.version for each in answers], np.int32)),
        text_to_arrow([name for each in answers for name in each.names]),
        to_arrow(np.concatenate([np.asarray(each.score, np.float64) for each in answers])),
        truths_to_arrow(np.concatenate([each.alarm for each in answers])),
        to_arrow(np.concatenate([np.broadcast_to(each.threshold, len(each.score)) for each in answers])),
        to_arrow(repeated([each.seconds for each in answers], np.float32)),
        lists([each.inputs for each in answers]),
        lists([each.latent for each in answers]),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


class PredictionLog:
    """Keeps answers under a storage root; never blocks, and never raises, whoever answers.

    Attributes:
        on_dropped: called with the number of rows that are lost because too many wait.
        on_failure: called when a file could not be written; its rows wait on.
    """

    def __init__(self, storage: Storage, line: str, *, every: float = 5.0, most: int = 200_000) -> None:
        """Begin; call `close` at the end.

        Args:
            storage: where the files go.
            line: of the models.
            every: seconds between two files; what a crash may lose.
            most: rows kept in memory while the storage cannot be written; further ones are dropped and counted.
        """
        self.storage, self.line, self.every, self.most = storage, line, every, most
        self.on_dropped: Callable[[int], object] = lambda _: None
        self.on_failure: Callable[[], object] = lambda: None
        self._fresh: dict[str, list[Answered]] = {}
        self._tried: dict[str, _Tried] = {}
        self._rows = 0
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._over = threading.Event()
        self._told = False
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    def add(self, answered: Answered) -> None:
        """Take the rows of a request; they are written within ``every`` seconds."""
        count = len(answered.score)
        folder = f"{answered.dataset}/{answered.time.astimezone(dt.UTC):%Y-%m-%d/%H}"
        with self._lock:
            room = self._rows + count <= self.most
            if room:
                self._fresh.setdefault(folder, []).append(answered)
                self._rows += count
        if not room:
            self._tell(self.on_dropped, count)

    def close(self) -> None:
        """Write what waits and stop; what cannot be written now is dropped and counted."""
        self._over.set()
        self._thread.join()

    def flush(self) -> None:
        """Write what waits; what cannot be written waits on, and what comes to its folder waits behind it."""
        with self._writing:
            with self._lock:
                folders = list({**self._tried, **self._fresh})
            for folder in folders:
                if folder in self._tried and not self._written(folder):
                    continue
                with self._lock:
                    fresh = self._fresh.pop(folder, [])
                if fresh:
                    self._tried[folder] = _Tried(f"{uuid.uuid4().hex}.parquet", fresh)
                    self._written(folder)

    def _written(self, folder: str) -> bool:
        """Whether the file of a folder that was or is to be tried could be written."""
        name, group = self._tried[folder]
        try:
            table = self._table(group)
            if table is not None:
                buffer = io.BytesIO()
                pq.write_table(table, buffer, compression="zstd")
                self.storage.write_bytes(f"predictions/{self.line}/{folder}/{name}", buffer.getvalue())
                self._told = False
        except Exception as error:  # whatever it is, the rows wait
            self._tell(self.on_failure)
            if not self._told:
                known = isinstance(error, VaePipelineError)
                text = f"{self.most:,}"
                _LOGGER.warning("predictions wait in memory, up to %s rows: %s", text, error, exc_info=not known)
            self._told = True
            return False
        del self._tried[folder]
        self._left(group)
        return True

    def _left(self, group: Sequence[Answered]) -> None:
        """Count rows as waiting no longer."""
        with self._lock:
            self._rows -= sum(len(answered.score) for answered in group)

    def _table(self, group: list[Answered]) -> pa.Table | None:
        """The rows of a group, taken out of it those that can never become rows; None where nothing is left."""
        try:
            return table_of(group)
        except Exception:
            for answered in list(group):
                try:
                    table_of([answered])
                except Exception:  # it would keep the others from becoming rows
                    group[:] = [each for each in group if each is not answered]
                    self._left([answered])
                    self._tell(self.on_failure)
                    self._tell(self.on_dropped, len(answered.score))
                    _LOGGER.exception("the predictions of request %s are no rows", answered.request)
            return table_of(group) if group else None

    def _run(self) -> None:
        # what the first file loads is loaded now, and not in the midst of requests
        pq.write_table(SCHEMA.empty_table(), io.BytesIO(), compression="zstd")
        while not self._over.wait(self.every):
            self._flush_always()
        self._flush_always()
        with self._lock:
            lost, self._rows = self._rows, 0
            self._fresh.clear()
        if lost:
            self._tell(self.on_dropped, lost)
            _LOGGER.warning("%s predictions are lost: they could not be written before the end", f"{lost:,}")

    def _flush_always(self) -> None:
        try:
            self.flush()
        except Exception:  # the thread has to live on, whatever happens to one file
            self._tell(self.on_failure)
            _LOGGER.exception("predictions could not be written")

    def _tell(self, listener: Callable[..., object], *told: int) -> None:
        try:
            listener(*told)
        except Exception:  # who answers, and the thread, go on
            _LOGGER.exception("a listener of the prediction log failed")
