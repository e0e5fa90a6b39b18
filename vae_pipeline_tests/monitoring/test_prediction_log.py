"""Every answer is in the log once, whatever the storage does, and who answers is never held up."""

import datetime as dt
import io
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_pipeline.errors import StorageError
from vae_pipeline.monitoring.prediction_log import SCHEMA, Answered, PredictionLog
from vae_pipeline.storage import Storage

NOON = dt.datetime(2026, 3, 1, 12, 30, tzinfo=dt.UTC)
NEVER = 3600.0


class Shelf:
    """A storage in memory; it writes ``broken`` times in vain, and raises ``fault`` then."""

    def __init__(self, broken=0, fault=None):
        self.files, self.broken, self.fault = {}, broken, fault or StorageError("no room")
        self.asked = threading.Semaphore(0)

    def write_bytes(self, key, content):
        try:
            if self.broken:
                self.broken -= 1
                raise self.fault
            assert key not in self.files
            self.files[key] = content
        finally:
            self.asked.release()

    def rows(self):
        """All rows, each with the folder it lies in."""
        found = []
        for key, content in self.files.items():
            table = pq.read_table(io.BytesIO(content))
            assert table.schema.equals(SCHEMA)
            found += [{**row, "folder": key.rpartition("/")[0]} for row in table.to_pylist()]
        return found

    def ids(self):
        return sorted(row["id"] for row in self.rows())


def answered(request="r", count=2, *, dataset="pumps", time=NOON, name="a"):
    random = np.random.default_rng(count)
    return Answered(
        dataset=dataset,
        version=3,
        request=request,
        time=time,
        seconds=0.25,
        threshold=1.5,
        names=[name] * count,
        score=random.normal(size=count),
        alarm=np.arange(count) % 2 == 0,
        inputs=random.normal(size=(count, 4)).astype(np.float32),
        latent=np.full((count, 3), np.nan, np.float32),
    )


@pytest.fixture
def opened():
    """Logs that are closed at the end."""
    logs = []

    def open_log(storage, **options):
        logs.append(PredictionLog(storage, "timeseries", **{"every": NEVER, **options}))
        return logs[-1]

    yield open_log
    for log in logs:
        log.close()


def test_what_was_added_is_read_back_as_it_was(tmp_path):
    log = PredictionLog(Storage(str(tmp_path), tmp_path / "cache"), "timeseries", every=NEVER)
    one = answered(count=3, name=None)
    log.add(one)
    log.close()
    (file,) = (path for path in (tmp_path / "predictions").rglob("*") if path.is_file())
    assert file.parent == tmp_path / "predictions/timeseries/pumps/2026-03-01/12"
    table = pq.read_table(file)
    assert table.schema.equals(SCHEMA)
    assert table.column("id").to_pylist() == ["r-0", "r-1", "r-2"]
    assert table.column("name").to_pylist() == [None] * 3
    assert set(table.column("time").to_pylist()) == {NOON}
    assert set(table.column("request").to_pylist()) == {"r"}
    assert set(table.column("version").to_pylist()) == {3}
    assert set(table.column("threshold").to_pylist()) == {1.5}
    assert set(table.column("latency").to_pylist()) == {0.25}
    for name in ("score", "alarm", "inputs", "latent"):
        np.testing.assert_array_equal(table.column(name).to_pylist(), getattr(one, name))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["pumps", "fans"]),
            st.integers(0, 50),
            st.integers(1, 5),
            st.integers(-12, 14),
            st.booleans(),
        ),
        max_size=12,
    )
)
def test_every_row_is_there_once_under_its_dataset_and_its_hour(requests):
    shelf = Shelf()
    log = PredictionLog(shelf, "timeseries", every=NEVER)
    expected = set()
    for number, (dataset, hours, count, zone, flush) in enumerate(requests):
        time = (NOON + dt.timedelta(hours=hours)).astimezone(dt.timezone(dt.timedelta(hours=zone)))
        log.add(answered(f"r{number}", count, dataset=dataset, time=time))
        folder = f"predictions/timeseries/{dataset}/{NOON + dt.timedelta(hours=hours):%Y-%m-%d/%H}"
        expected |= {(f"r{number}-{place}", folder) for place in range(count)}
        if flush:
            log.flush()
    log.close()
    rows = shelf.rows()
    assert len(rows) == len(expected)
    assert {(row["id"], row["folder"]) for row in rows} == expected


def test_rows_are_written_without_being_asked_for(opened):
    shelf = Shelf()
    log = opened(shelf, every=0.001)
    log.add(answered())
    assert shelf.asked.acquire(timeout=60)
    log.close()
    assert shelf.ids() == ["r-0", "r-1"]


def test_a_storage_that_fails_loses_nothing_and_tells(opened):
    shelf, failures = Shelf(broken=3), []
    log = opened(shelf)
    log.on_failure = lambda: failures.append(1)
    log.on_dropped = pytest.fail
    for number in range(3):
        log.add(answered(f"r{number}"))
        log.flush()
        assert shelf.files == {}
    log.add(answered("later", time=NOON + dt.timedelta(hours=1)))
    log.flush()
    assert len(failures) == 3
    assert shelf.ids() == sorted(f"{name}-{place}" for name in ("r0", "r1", "r2", "later") for place in (0, 1))


class Deaf(Shelf):
    """A storage that writes, and whose answers are lost ``broken`` times."""

    def write_bytes(self, key, content):
        self.files.setdefault(key, content)
        assert self.files[key] == content
        if self.broken:
            self.broken -= 1
            raise self.fault


def test_rows_whose_writing_was_not_answered_stand_in_one_file(opened):
    shelf = Deaf(broken=2)
    log = opened(shelf)
    log.add(answered("first"))
    log.flush()
    log.add(answered("second"))  # of the same hour: who has read the first file would not see it there
    log.flush()
    log.flush()
    assert shelf.ids() == ["first-0", "first-1", "second-0", "second-1"]
    assert len(shelf.files) == 2


def test_an_hour_that_cannot_be_written_does_not_keep_another(opened):
    shelf = Shelf(broken=1)
    log = opened(shelf)
    log.add(answered("one"))
    log.add(answered("other", dataset="fans"))
    log.flush()
    assert shelf.ids() == ["other-0", "other-1"]
    log.flush()
    assert shelf.ids() == ["one-0", "one-1", "other-0", "other-1"]


def test_more_rows_than_may_wait_are_dropped_and_counted(opened):
    shelf, dropped = Shelf(broken=1), []
    log = opened(shelf, most=5)
    log.on_dropped = dropped.append
    for number, count in enumerate((3, 2, 1, 4)):
        log.add(answered(f"r{number}", count))
    assert dropped == [1, 4]
    log.flush()
    log.add(answered("full", 1))
    assert dropped == [1, 4, 1]
    log.flush()
    log.add(answered("room", 5))
    log.flush()
    assert dropped == [1, 4, 1]
    assert len(shelf.rows()) == 10


def test_rows_that_a_closed_log_could_not_write_are_counted():
    dropped = []
    log = PredictionLog(Shelf(broken=10), "timeseries", every=NEVER)
    log.on_dropped = dropped.append
    log.add(answered(count=4))
    log.close()
    assert sum(dropped) == 4


def test_adding_never_raises(opened):
    def fail(*_):
        msg = "nobody listens"
        raise RuntimeError(msg)

    log = opened(Shelf(), most=1)
    log.on_dropped = log.on_failure = fail
    log.add(answered(count=2))
    log.add(answered(count=1))


def test_an_answer_that_is_no_row_is_dropped_and_counted_and_keeps_no_other(opened):
    shelf, dropped, failures = Shelf(), [], []
    log = opened(shelf)
    log.on_dropped, log.on_failure = dropped.append, lambda: failures.append(1)
    log.add(answered("before"))
    log.add(answered("broken", name="\ud800"))  # no text that Parquet can hold
    log.add(answered("after"))
    log.add(answered("other", dataset="fans"))
    log.flush()
    assert shelf.ids() == ["after-0", "after-1", "before-0", "before-1", "other-0", "other-1"]
    assert dropped == [2]
    assert len(failures) == 1


def test_a_fault_nobody_expected_does_not_end_the_thread(opened):
    shelf = Shelf(broken=1, fault=pa.ArrowInvalid("odd"))
    log = opened(shelf, every=0.001)
    failed = threading.Event()
    log.on_failure = failed.set
    log.add(answered("first"))
    assert failed.wait(60)
    log.add(answered("second"))
    log.close()
    assert {"second-0", "second-1"} <= set(shelf.ids())


def test_a_closed_log_can_be_closed_again():
    log = PredictionLog(Shelf(), "timeseries", every=NEVER)
    log.close()
    log.close()


def test_many_threads_may_add_at_once(opened):
    shelf = Shelf()
    log = opened(shelf, every=0.001)
    threads = [
        threading.Thread(target=lambda name=name: [log.add(answered(f"{name}.{n}", 1)) for n in range(50)])
        for name in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert shelf.ids() == sorted(f"{name}.{number}-0" for name in range(4) for number in range(50))
