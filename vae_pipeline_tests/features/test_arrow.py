import datetime as dt
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_pipeline.features.arrow import (
    lists_to_arrow,
    text_to_arrow,
    times_to_arrow,
    to_arrow,
    to_numpy,
    truths_to_arrow,
)
from vae_pipeline_tests.builders.raw import write_raw


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=False)), max_size=40), st.integers(0, 10))
def test_null_is_nan_even_in_a_slice(values, first):
    found = to_numpy(pa.array(values, pa.float64())[first:])
    np.testing.assert_array_equal(found, [np.nan if value is None else value for value in values[first:]])


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64, np.float32, np.float64])
def test_numbers_go_there_and_back(dtype):
    values = np.arange(10, dtype=dtype)[::2]
    assert to_arrow(values).to_pylist() == values.tolist()
    np.testing.assert_array_equal(to_numpy(to_arrow(values)), values)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=10))
def test_text(values):
    assert text_to_arrow(values).to_pylist() == values


def test_building_and_reading_import_no_pandas(tmp_path):
    dataset = write_raw(tmp_path / "raw", regimes=2)
    (tmp_path / "features").mkdir()
    script = """
import sys
from pathlib import Path
from vae_pipeline.features.build import build
from vae_pipeline.records import Dataset
folder = Path(sys.argv[1])
build(Dataset.model_validate_json(sys.argv[2]), folder / "raw", folder / "features")
print(sorted({"pandas", "torch", "sklearn"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), dataset.model_dump_json()],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


TEXTS = st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=5), max_size=20)


@given(TEXTS)
def test_texts_and_missing_ones(texts):
    made = text_to_arrow(texts)
    made.validate(full=True)
    assert made.to_pylist() == texts
    assert made.null_count == texts.count(None)


@given(st.lists(st.booleans(), max_size=30))
def test_truths(values):
    assert truths_to_arrow(np.array(values, dtype=bool)).to_pylist() == values


@given(st.lists(st.datetimes(dt.datetime(1980, 1, 1), dt.datetime(2100, 1, 1), timezones=st.just(dt.UTC)), max_size=9))
def test_moments(times):
    counted = [round((time - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) / dt.timedelta(microseconds=1)) for time in times]
    made = times_to_arrow(np.array(counted, dtype=np.int64))
    assert made.type == pa.timestamp("us", tz="UTC")
    assert [value.value for value in made] == counted


@given(st.lists(st.lists(st.floats(width=32, allow_nan=False), max_size=4), max_size=9))
def test_lists_of_any_length(rows):
    flat = np.array([value for row in rows for value in row], dtype=np.float32)
    made = lists_to_arrow(flat, np.array([len(row) for row in rows], dtype=np.int64))
    made.validate(full=True)
    assert made.to_pylist() == rows
