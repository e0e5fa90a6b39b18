"""Columns in their roles: times in every form, units, numbers; and what is set aside."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_pipeline.connectors.config import RowColumns
from vae_pipeline.connectors.rows import canonical

UTC = datetime.UTC


def read(times, clock="iso", **other):
    raw = pd.DataFrame({"at": pd.Series(times, dtype=object), "flow": 1.0, **other})
    columns = RowColumns.model_validate({"time": "at", "sensors": ["flow"], "clock": clock})
    return canonical(raw, columns, unit="p0", place="the list", strict=True)


@given(st.lists(st.integers(-(10**18), 4 * 10**18), min_size=1))
def test_nanoseconds_stay_exact_beside_a_missing_one(times):
    """A missing value makes floats of a column of integers, and floats of today hold no nanoseconds."""
    assert read([*times, None], "ns").rows["time"].tolist() == times
    assert read([str(time) for time in times], "ns").rows["time"].tolist() == times


@given(st.integers(0, 4 * 10**15))
def test_the_same_moment_is_the_same_in_every_form(microseconds):
    moment = datetime.datetime.fromtimestamp(0, UTC) + datetime.timedelta(microseconds=microseconds)
    expected = [microseconds * 1000]
    elsewhere = moment.astimezone(datetime.timezone(datetime.timedelta(hours=5, minutes=30)))
    for form in (moment, moment.isoformat(), elsewhere.isoformat(), moment.replace(tzinfo=None), pd.Timestamp(moment)):
        assert read([form]).rows["time"].tolist() == expected
    assert read([microseconds], "us").rows["time"].tolist() == expected
    assert abs(read([microseconds / 1e6], "s").rows["time"][0] - expected[0]) <= 1000


@pytest.mark.parametrize("time", ["noon", 17, None, "", True])
def test_what_is_no_time_is_set_aside(time):
    found = read(["2024-01-01T00:00:00Z", time])
    assert len(found.rows) == 1
    assert found.refused[0]["reason"].startswith("column 'at': ")


@pytest.mark.parametrize("time", [1e300, float("nan"), float("inf"), "soon", True, {}])
def test_what_is_no_number_of_seconds_is_set_aside(time):
    assert len(read([1, time], "s").refused) == 1


def test_numbers_come_in_many_forms():
    columns = RowColumns.model_validate({"time": "at", "sensors": ["flow"], "clock": "number"})
    values = pd.Series([1, "2.5", Decimal("3.25"), None, "", "n/k"], dtype=object)
    raw = pd.DataFrame({"at": range(6), "flow": values, "more": 1})
    found = canonical(raw, columns, unit="p0", place="the list", strict=True)
    assert found.rows["flow"].tolist() == [1.0, 2.5, 3.25]
    assert [item["reason"] for item in found.refused] == [
        "no value of flow",
        "no value of flow",
        "column 'flow': 'n/k' is no number",
    ]


def test_ids_beside_an_empty_one_stay_ids():
    columns = RowColumns.model_validate({"unit": "id", "time": "at", "sensors": ["flow"], "clock": "number"})
    raw = pd.DataFrame({"id": [1.0, 2.0, np.nan], "at": [1, 2, 3], "flow": 1.0})
    found = canonical(raw, columns, unit="p0", place="the list", strict=True)
    assert found.rows["unit"].tolist() == ["1", "2"]
    assert found.refused[0]["reason"] == "column 'id': is empty"
