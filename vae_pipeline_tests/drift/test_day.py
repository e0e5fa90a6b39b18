"""All rows count once, the sample is fair, and a file that cannot be read leaves nothing behind."""

import datetime as dt
import io
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vae_pipeline.drift.day import DayLog, Span, read_days
from vae_pipeline.errors import SettingError, StorageError
from vae_pipeline.monitoring import reading
from vae_pipeline.monitoring.prediction_log import table_of
from vae_pipeline.storage import Storage
from vae_pipeline_tests.drift.days import DAY, answered, keep, key_of, opened

SPAN = Span(DAY, DAY)

pytestmark = pytest.mark.services


def read(storage, span=SPAN, **more):
    return read_days(storage, "timeseries", "tiny", 3, span, **more)


@pytest.fixture
def storage(any_root, tmp_path):
    return Storage(any_root, tmp_path / "cache")


def test_counts_and_moments_are_those_of_all_rows(storage):
    random = np.random.default_rng(0)
    parts = [random.normal(size=count) for count in (5, 1, 700, 64)]
    for number, scores in enumerate(parts):
        keep(storage, answered(scores, hour=number, request=f"r{number}"), f"{number}")
    log, every = read(storage, most=50), np.concatenate(parts)
    assert (log.rows, log.files, log.skipped_files) == (len(every), 4, 0)
    assert log.alarms == (every > 1.0).sum()
    assert log.mean == pytest.approx(every.mean())
    assert log.sd == pytest.approx(every.std(ddof=1))
    assert log.sample.num_rows == 50
    assert set(log.sample.column("score").to_pylist()) <= set(every.tolist())


def test_a_day_without_predictions_is_empty(storage):
    log = read(storage)
    assert (log.rows, log.files, log.sample.num_rows, log.sd, log.alarm_share) == (0, 0, 0, 0.0, 0.0)


@given(st.lists(st.lists(st.floats(-1e6, 1e6), max_size=6), max_size=6))
def test_moments_of_parts_are_those_of_the_whole(parts):
    log = DayLog()
    for part in parts:
        mean = float(np.mean(part)) if part else 0.0
        log.add(DayLog(rows=len(part), mean=mean, squares=float(((np.array(part) - mean) ** 2).sum())))
    every = np.concatenate([np.array(part) for part in parts] or [np.empty(0)])
    assert log.rows == len(every)
    if len(every) > 1:
        assert log.mean == pytest.approx(every.mean(), abs=1e-6)
        assert log.sd == pytest.approx(every.std(ddof=1), rel=1e-6, abs=1e-6)


def test_every_row_is_as_likely_in_the_sample(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_ROWS", 16)
    storage = opened(tmp_path)
    for number in range(3):
        keep(storage, answered(np.arange(20.0) + 20 * number, hour=number), f"{number}")
    counted = np.zeros(60)
    for seed in range(300):
        chosen = read(storage, most=6, seed=seed).sample.column("score").to_pylist()
        assert len(set(chosen)) == 6
        counted[np.array(chosen, dtype=int)] += 1
    assert stats.chisquare(counted).pvalue > 1e-4


def test_the_same_files_and_seed_give_the_same_sample(tmp_path):
    storage = opened(tmp_path)
    keep(storage, answered(np.arange(100.0)))
    one, two, other = (read(storage, most=10, seed=seed).sample.column("score").to_pylist() for seed in (1, 1, 2))
    assert one == two
    assert one != other


def test_other_versions_and_broken_scores_are_counted_and_left_out(storage):
    keep(storage, answered([0.0, np.nan, 2.0]), "own")
    keep(storage, answered([9.0] * 4, version=2), "old")
    log = read(storage)
    assert (log.rows, log.other_versions, log.broken_rows) == (2, 4, 1)
    assert sorted(log.sample.column("score").to_pylist()) == [0.0, 2.0]


def test_only_the_days_of_the_span_are_read(storage):
    for number in range(4):
        keep(storage, answered([float(number)], day=DAY + dt.timedelta(days=number)))
    keep(storage, answered([9.0], dataset="another"))
    span = Span.of("2026-03-02", "2026-03-03")
    assert sorted(read(storage, span).sample.column("score").to_pylist()) == [1.0, 2.0]


def _file(one):
    buffer = io.BytesIO()
    pq.write_table(table_of([one]), buffer)
    return buffer.getvalue()


def _damaged_page():
    content = bytearray(_file(answered(np.random.default_rng(0).normal(size=5000))))
    third = len(content) // 3
    content[third : 2 * third] = b"\xff" * third  # what says where columns lie is behind it
    return bytes(content)


def _foreign():
    buffer = io.BytesIO()
    pq.write_table(pa.table({"score": [1.0]}), buffer)
    return buffer.getvalue()


def _of_another_type():
    buffer = io.BytesIO()
    table = table_of([answered([1.0])])
    pq.write_table(table.set_column(5, "score", pa.array(["high"])), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"PAR1", _file(answered([5.0] * 100))[:-40], _damaged_page(), _foreign(), _of_another_type(), b"x" * 999],
    ids=["empty", "begun", "half uploaded", "damaged", "foreign", "of another type", "noise"],
)
def test_a_file_that_cannot_be_read_is_skipped_and_told(storage, content):
    keep(storage, answered([0.0, 1.0]), "good")
    storage.write_bytes(key_of(answered([0.0]), "harmed"), content)
    log = read(storage)
    assert (log.rows, log.files, log.skipped_files) == (2, 2, 1)
    assert "harmed.parquet" in log.skipped[0]
    assert "\n" not in log.skipped[0]


def test_a_file_that_is_being_written_is_not_there_yet(tmp_path):
    storage = opened(tmp_path)
    key = keep(storage, answered([0.0]))
    (tmp_path / "storage" / key).with_name(".b.parquet.tmp.parquet").write_bytes(b"half")
    assert read(storage).files == 1


def test_a_file_that_goes_while_it_is_read_is_skipped(tmp_path, monkeypatch):
    storage = opened(tmp_path)
    keep(storage, answered([0.0]), "a")
    key = keep(storage, answered([1.0]), "b")
    listed = Storage.files

    def files(self, *arguments):
        found = listed(self, *arguments)
        (tmp_path / "storage" / key).unlink()
        return found

    monkeypatch.setattr(Storage, "files", files)
    log = read(storage)
    assert (log.rows, log.skipped_files) == (1, 1)


@pytest.mark.parametrize("error", [RuntimeError("connection refused"), OSError(111, "connection refused")])
def test_a_store_that_is_out_of_reach_is_an_error_and_no_empty_day(tmp_path, monkeypatch, error):
    storage = opened(tmp_path)
    keep(storage, answered([0.0]))

    def unreachable(*_):
        raise error

    monkeypatch.setattr(reading.pq, "ParquetFile", unreachable)
    with pytest.raises(StorageError, match=r"a\.parquet: .*connection refused; check VAE_PIPELINE_STORAGE"):
        read(storage)


def test_spans_are_whole_days():
    assert Span.of("2026-03-01") == Span(DAY, DAY)
    assert Span.of("2026-03-01").name == "2026-03-01"
    span = Span.of("2026-02-27", "2026-03-01")
    assert [date.isoformat() for date in span.days()] == ["2026-02-27", "2026-02-28", "2026-03-01"]
    assert span.name == "2026-02-27_2026-03-01"
    assert Span.of(None).first == dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        (("yesterday", None), "write dates as 2026-03-01"),
        (("2026-03-02", "2026-03-01"), "until 2026-03-01: lies before day 2026-03-02"),
    ],
)
def test_days_that_are_none_are_refused(stated, said):
    with pytest.raises(SettingError, match=said):
        Span.of(*stated)


_READS = """
import resource, sys
from pathlib import Path
from vae_pipeline.drift.day import Span, read_days
from vae_pipeline.storage import Storage
storage = Storage(sys.argv[1], Path(sys.argv[1]) / "cache")
log = read_days(storage, "timeseries", "tiny", 3, Span.of("2026-03-01"), most=100)
print(log.rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(tmp_path):
    """Twenty times the rows in as large files: within 40 MB."""
    random, found = np.random.default_rng(0), {}
    for files in (1, 20):
        storage = Storage(str(tmp_path / str(files)), tmp_path / "cache")
        for number in range(files):
            keep(storage, answered(random.normal(size=50_000), hour=number), f"{number}")
        ran = subprocess.run(
            [sys.executable, "-c", _READS, str(tmp_path / str(files))], capture_output=True, text=True, check=True
        )
        rows, memory = ran.stdout.split()
        assert int(rows) == files * 50_000
        found[files] = int(memory)
    assert found[20] - found[1] < 40_000
