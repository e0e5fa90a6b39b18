"""What determines a data version: a setting that is new to a record must not make anew what is kept already."""

import pytest

from vae_pipeline.catalog import dataset
from vae_pipeline.defs.stages.stage import stated

FD001 = dataset("FD001", "timeseries")


def test_fields_are_those_asked_for():
    assert stated(FD001, {"window", "regimes"}) == {"window": {"length": 50, "stride": 1}, "regimes": 1}


@pytest.mark.parametrize(("field", "setting", "value"), [("archive", "md5", "0" * 32), ("split", "folds", 3)])
def test_later_settings_count_only_where_they_are_stated(field, setting, value):
    known = stated(FD001, {field})
    assert setting not in known[field]
    record = getattr(FD001, field).model_copy(update={setting: value})
    assert stated(FD001.model_copy(update={field: record}), {field}) == {field: {**known[field], setting: value}}


def test_the_versions_of_what_is_kept_of_tables_stay():
    """Field by field what raw, validated and features of a table were made from when they were first kept."""
    first = {
        "archive": {"path", "url", "sha256", "inner", "max_unpacked_bytes"},
        "columns": {"unit", "time", "sensors", "settings", "label"},
        "labels": {"healthy_from", "anomalous_below"},
        "window": {"length", "stride"},
        "split": {"calibrate", "test", "seed"},
        "published": {"train_rows", "test_rows", "train_units", "test_units"},
        "calibration": {"score", "late", "threshold", "false_alarm_rate"},
    }
    found = stated(FD001, set(first))
    assert {name: set(record) for name, record in found.items()} == first


def test_an_archive_may_be_missing():
    sample = dataset("sample_turbofan", "timeseries")
    assert stated(sample, {"archive"}) == {"archive": None}
