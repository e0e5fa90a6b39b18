"""A table whose rows name pictures is scored and explained as pairs, with what is missing left out."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from vae_pipeline.errors import DataError, DetectorError
from vae_pipeline.explain_files import explain_file
from vae_pipeline.score_files import score_file
from vae_pipeline_tests.builders.cmapss import entry
from vae_pipeline_tests.builders.pictures import picture, save
from vae_pipeline_tests.detector.pair_examples import made_pairs


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    return made_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture
def table(example, tmp_path):
    """Thirty rows of one unit; rows 5 and 30 name a picture, windows end from row 20 on."""
    rows = pq.read_table(example.folder / "table/raw/test.parquet").to_pandas()
    rows = rows[rows["unit"] == rows["unit"].iloc[0]].head(30).reset_index(drop=True)
    rows["image"] = ""
    for place in (4, 29):
        rows.loc[place, "image"] = f"photos/{place}.png"
        save(tmp_path / f"photos/{place}.png", picture(np.random.default_rng(place), 40)[0])
    rows.to_csv(tmp_path / "shift.csv", index=False)
    return tmp_path / "shift.csv"


def test_a_row_is_scored_by_whatever_it_has(example, table):
    told = score_file(example.detector, example.dataset, table, None, None)
    found = pd.read_csv(table.with_name("shift.scores.csv"))
    assert "12 pairs" in told
    assert found["row"].tolist() == [5, *range(20, 31)]
    assert found["score"].notna().all()
    assert found.loc[found["row"] == 5, "window"].isna().all()
    assert found.loc[found["row"] == 5, "picture"].notna().all()
    assert found.loc[found["row"] == 20, "picture"].isna().all()
    assert found.loc[found["row"] == 30, ["window", "picture"]].notna().all(axis=None)


def test_the_highest_or_a_stated_row_is_explained(example, table):
    told = explain_file(example.detector, example.dataset, table, row=30)
    assert told.startswith("row 30: ")
    assert "window: " in told
    assert "image: " in told
    assert len(list(table.with_name("shift.csv.explained").glob("*.html"))) == 1
    assert explain_file(example.detector, example.dataset, table, top=3).count("threshold") == 3


def test_windows_are_those_of_rows_in_order_of_time(example, table):
    rows = pd.read_csv(table)
    score_file(example.detector, example.dataset, table, None, None)
    expected = pd.read_csv(table.with_name("shift.scores.csv")).set_index("time")
    rows.iloc[np.random.default_rng(0).permutation(len(rows))].to_csv(table, index=False)
    score_file(example.detector, example.dataset, table, None, None)
    found = pd.read_csv(table.with_name("shift.scores.csv")).set_index("time").loc[expected.index]
    names = ["score", "window", "picture", "alarm"]
    pd.testing.assert_frame_equal(found[names], expected[names])


def test_the_dataset_of_the_readings_says_how_the_table_is_read(example, table):
    score_file(example.detector, example.dataset, table, None, None)
    expected = pd.read_csv(table.with_name("shift.scores.csv"))
    pd.read_csv(table).to_csv(table, index=False, sep=";", decimal=",")
    form = {"train": "normal/*.csv", "separator": ";", "decimal": ","}
    readings = entry(kind="table", columns={"unit": "unit", "time": "time"}, files=form)
    score_file(example.detector, example.dataset, table, None, None, readings=readings)
    pd.testing.assert_frame_equal(pd.read_csv(table.with_name("shift.scores.csv")), expected)
    told = explain_file(example.detector, example.dataset, table, row=30, readings=readings)
    assert told.startswith("row 30: ")


def test_a_row_that_is_no_pair_is_told(example, table):
    with pytest.raises(DetectorError, match=r"shift\.csv: no pair is there; a row has to name an image"):
        explain_file(example.detector, example.dataset, table, row=6)


def test_a_missing_column_or_picture_is_named(example, table):
    pd.read_csv(table).drop(columns="image").to_csv(table, index=False)
    with pytest.raises(DataError, match="column 'image' is missing; pairs need sensor_1"):
        score_file(example.detector, example.dataset, table, None, None)
    rows = pd.read_csv(table).assign(image="gone.png")
    rows.to_csv(table, index=False)
    with pytest.raises(DataError, match=r"gone\.png"):
        score_file(example.detector, example.dataset, table, None, None)
