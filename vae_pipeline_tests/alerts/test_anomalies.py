"""Alarms in the prediction log are told by dataset, each once, whatever is damaged, late or killed."""

import datetime as dt
import os
import tracemalloc

import numpy as np
import pytest

from vae_pipeline.alerts.anomalies import look_for_anomalies
from vae_pipeline.alerts.outbox import open_outbox
from vae_pipeline.errors import StorageError
from vae_pipeline.monitoring.prediction_log import Answered, PredictionLog
from vae_pipeline.settings import load_settings
from vae_pipeline.storage import open_storage
from vae_pipeline_tests.alerts.builders import NOON


@pytest.fixture
def storage():
    return open_storage(load_settings())


@pytest.fixture
def look(storage):
    return lambda fewest=3: look_for_anomalies(storage, open_outbox(load_settings()), "timeseries", fewest)


def write(storage, scores, *, dataset="FD001", time=NOON, names=None, threshold=1.0, inputs=2):
    """Rows of a request in the log, as a service writes them."""
    scores = np.asarray(scores, dtype=float)
    log = PredictionLog(storage, "timeseries", every=3600.0)
    log.add(
        Answered(
            dataset=dataset,
            version=1,
            request=os.urandom(4).hex(),
            time=time,
            seconds=0.1,
            threshold=threshold,
            names=names or [f"engine {place % 2}, row {place}" for place in range(len(scores))],
            score=scores,
            alarm=scores > threshold,
            inputs=np.zeros((len(scores), inputs), np.float32),
            latent=np.zeros((len(scores), 2), np.float32),
        )
    )
    log.close()


def test_alarms_are_told_with_units_and_the_highest_score(storage, look):
    write(storage, [0.1, 1.2, 0.2, 1.5, 1.3])
    found = look()
    (alert,) = found.alerts
    assert (found.files, found.rows, found.alarms) == (1, 5, 3)
    assert (alert.subject, alert.severity, alert.kind) == ("timeseries/FD001", "warning", "anomalies")
    for text in ("3 alarms of timeseries/FD001", "engine 1", "highest score is 1.5", "threshold of 1,", "1.5 times"):
        assert text in alert.text


def test_twice_the_threshold_is_critical(storage, look):
    write(storage, [2.0, 1.1, 1.1])
    assert look().alerts[0].severity == "critical"


def test_of_a_threshold_below_zero_no_multiple_is_told(storage, look):
    write(storage, [5.0, -1.0, -1.5], threshold=-2.0)
    (alert,) = look().alerts
    assert alert.severity == "warning"
    assert alert.text.endswith("the highest score is 5 with a threshold of -2.")


def test_nothing_new_is_told_once_it_was_read(storage, look):
    write(storage, [2.0] * 4)
    assert len(look().alerts) == 1
    again = look()
    assert (again.files, again.alerts) == (0, ())


def test_an_empty_log_is_nothing(look):
    assert look().files == 0


def test_too_few_are_counted_on_within_their_day(storage, look):
    write(storage, [2.0, 0.0])
    assert look().alerts == ()
    write(storage, [2.0], time=NOON + dt.timedelta(days=1))
    assert look().alerts == ()
    write(storage, [1.4, 3.0], time=NOON + dt.timedelta(hours=2))
    (alert,) = look().alerts
    assert "3 alarms" in alert.text
    assert "3 times its threshold" in alert.text.replace("3.0", "3")


def test_each_dataset_is_told_of_for_itself(storage, look):
    write(storage, [2.0] * 3)
    write(storage, [2.0] * 5, dataset="FD002")
    assert sorted(alert.subject for alert in look().alerts) == ["timeseries/FD001", "timeseries/FD002"]


def test_a_file_written_late_into_an_earlier_hour_is_read_too(storage, look):
    write(storage, [2.0] * 3, time=NOON + dt.timedelta(hours=3))
    look(10)
    write(storage, [2.0] * 7, time=NOON)
    assert "10 alarms" in look(10).alerts[0].text


def test_only_the_last_two_days_are_watched(storage, look):
    for day in range(4):
        write(storage, [2.0] * 3, time=NOON + dt.timedelta(days=day))
    assert look().files == 2


def test_what_is_no_longer_watched_is_forgotten(storage, look):
    write(storage, [2.0])
    look()
    for day in (1, 2):
        write(storage, [0.0], time=NOON + dt.timedelta(days=day))
    look()
    outbox, old = open_outbox(load_settings()), "predictions/timeseries/FD001/2026-03-01"
    assert outbox.note(old) is None
    assert len(outbox.spaces("predictions/")) == 2
    assert old not in outbox.spaces("predictions/")


@pytest.mark.parametrize("content", [b"", b"PAR1 and then nothing", b"x" * 1000])
def test_a_damaged_file_is_said_once_and_left_out(storage, look, content):
    write(storage, [2.0] * 3)
    storage.write_bytes("predictions/timeseries/FD001/2026-03-01/12/damaged.parquet", content)
    found = look()
    assert len(found.alerts) == 1
    assert [file.split(":")[0] for file in found.unreadable] == [
        "predictions/timeseries/FD001/2026-03-01/12/damaged.parquet"
    ]
    assert look().unreadable == ()


def test_killed_before_alerts_are_kept_it_tells_them_at_the_next_look(storage, look, monkeypatch):
    write(storage, [2.0] * 3)
    with monkeypatch.context() as patch:
        patch.setattr("vae_pipeline.alerts.outbox._prune", lambda _: 1 / 0)  # last before all is kept
        with pytest.raises(ZeroDivisionError):
            look()
    assert len(look().alerts) == 1
    assert look().alerts == ()


def test_a_storage_that_does_not_answer_loses_nothing(storage, look, monkeypatch):
    write(storage, [2.0] * 3)

    def unreachable(*_):
        msg = "s3://bucket: does not answer"
        raise StorageError(msg)

    with monkeypatch.context() as patch:
        patch.setattr(type(storage), "names", unreachable)
        with pytest.raises(StorageError):
            look_for_anomalies(storage, open_outbox(load_settings()), "timeseries")
    assert len(look().alerts) == 1


@pytest.mark.slow
def test_a_million_rows_take_little_memory(storage, look):
    for _ in range(10):
        write(storage, np.full(100_000, 2.0), names=[f"engine {place}, row 1" for place in range(100_000)])
    tracemalloc.start()
    found = look()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.rows == 1_000_000
    assert most < 100e6
    assert len(found.alerts[0].text) < 1_000
