import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vae_pipeline.errors import DataError, ValidationFailedError
from vae_pipeline.features.splits import split_rows
from vae_pipeline.records import Dataset
from vae_pipeline.validation.validate import validate
from vae_pipeline.validation.verdict import Outcome, Verdict, raise_if_failed
from vae_pipeline_tests.builders.tables import SENSORS, canonical_table, table_dataset, write_raw

TURBOFAN = {"kind": "cmapss"}
PUBLISHED = {"train_rows": 120, "test_rows": 120, "train_units": 3, "test_units": 3}


def judged(folder: Path, dataset: Dataset, train: pd.DataFrame, test: pd.DataFrame | None = None) -> Verdict:
    return validate(dataset, write_raw(folder / "raw", train, test), folder / "out")


def only_failure(verdict: Verdict) -> Outcome:
    (failure,) = verdict.failed()
    return failure


def copied_row(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table.iloc[:50], table.iloc[49:]], ignore_index=True)


def swapped_rows(table: pd.DataFrame) -> pd.DataFrame:
    order = np.arange(len(table))
    order[[50, 51]] = order[[51, 50]]
    return table.iloc[order].reset_index(drop=True)


def text(table: pd.DataFrame) -> pd.DataFrame:
    column = table["sensor_2"].astype(object)
    column[50] = "see note"
    return table.assign(sensor_2=column.astype(str))


def put(column: str, value: object, rows: slice) -> object:
    def spoil(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[rows, column] = value
        return table

    return spoil


def interleaved(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values(["time", "unit"]).reset_index(drop=True)


BAD = {
    "a column is missing": (
        {},
        lambda table: table.drop(columns="sensor_3"),
        ("columns_are_present", "critical", ["missing: sensor_3"]),
    ),
    "the table is empty": ({}, lambda table: table.iloc[:0], ("rows_are_present", "critical", ["0 rows"])),
    "a range names no column": (
        {"ranges": {"pressure": (0, 1)}},
        lambda table: table,
        ("columns_are_present", "critical", ["missing: pressure"]),
    ),
    "text": (
        {},
        text,
        ("columns_are_numeric", "critical", ["unit 2, row 51", "column sensor_2", "'see note'"]),
    ),
    "a value is missing": (
        {},
        put("sensor_1", np.nan, slice(50, 50)),
        ("rows_are_complete", "warning", ["unit 2, row 51", "column sensor_1", "missing in 1 of"]),
    ),
    "more than 5 % are missing": (
        {},
        put("sensor_1", np.nan, slice(50, 58)),
        ("rows_are_complete", "critical", ["unit 2, row 51", "column sensor_1", "7.50%"]),
    ),
    "an infinite value": (
        {},
        put("sensor_1", -np.inf, slice(50, 50)),
        ("values_are_finite", "critical", ["unit 2, row 51", "column sensor_1", "-inf"]),
    ),
    "outside stated limits": (
        {"ranges": {"sensor_2": (0.0, 1.0)}},
        put("sensor_2", 1.5, slice(50, 50)),
        ("values_are_in_range", "critical", ["unit 2, row 51", "column sensor_2", "1.5 is above 1"]),
    ),
    "a constant sensor": (
        {},
        put("sensor_3", 7.0, slice(None)),
        ("sensors_vary", "warning", ["unit 1, row 1", "column sensor_3", "7 in every row", "1 of 3 sensors"]),
    ),
    "all sensors constant": (
        {},
        lambda table: table.assign(**dict.fromkeys(SENSORS, 7.0)),
        ("sensors_vary", "critical", ["unit 1, row 1", "column sensor_1", "0 of 3 sensors vary"]),
    ),
    "a unit shorter than the window": (
        {},
        lambda table: table.iloc[:85],
        ("units_are_long_enough", "warning", ["unit 3, from row 81", "5 rows", "needs 10"]),
    ),
    "all units shorter than the window": (
        {"window": {"length": 41}},
        lambda table: table,
        ("units_are_long_enough", "critical", ["unit 1, from row 1", "40 rows", "needs 41"]),
    ),
    "one unit, too short to split": (
        {"window": {"length": 20}},
        lambda table: table.iloc[:40],
        ("units_are_enough", "critical", ["unit 1, rows 1 to 40", "needs 100 rows"]),
    ),
    "a time twice": (
        TURBOFAN,
        copied_row,
        ("keys_are_unique", "critical", ["unit 2, row 50, cycle 10", "column time"]),
    ),
    "a gap in the cycles": (
        TURBOFAN,
        lambda table: table.drop(index=50).reset_index(drop=True),
        ("cycles_are_consecutive", "critical", ["unit 2, row 51, cycle 12", "column time", "+2"]),
    ),
    "cycles from 2": (
        TURBOFAN,
        lambda table: table.drop(index=40).reset_index(drop=True),
        ("cycles_are_consecutive", "critical", ["unit 2, row 41, cycle 2", "does not begin with cycle 1"]),
    ),
    "cycles out of order": (
        TURBOFAN,
        swapped_rows,
        ("cycles_are_consecutive", "critical", ["unit 2, row 51, cycle 12", "column time"]),
    ),
    "time out of order": (
        {},
        swapped_rows,
        ("time_increases", "critical", ["unit 2, row 52, time 11", "column time", "-1"]),
    ),
    "units mixed": (
        {},
        interleaved,
        ("units_are_contiguous", "warning", ["unit 1, row 4, time 2", "goes on after rows of another"]),
    ),
    "time is missing": (
        {},
        lambda table: table.assign(time=table["time"].astype("float64").where(table.index != 50)),
        ("keys_are_present", "critical", ["unit 2, row 51", "time is missing"]),
    ),
    "labels of three kinds": (
        {},
        lambda table: table.assign(label=pd.array([0, 1, None] * 39 + [0, 1, 2], dtype="Int8")),
        ("labels_are_binary", "critical", ["unit 3, row 120", "column label", "2"]),
    ),
    "fewer rows than published": (
        {"published": PUBLISHED | {"train_rows": 121}},
        lambda table: table,
        ("counts_are_as_published", "warning", ["120 rows where 121"]),
    ),
    "fewer units than published": (
        {"published": PUBLISHED | {"train_units": 4}},
        lambda table: table,
        ("counts_are_as_published", "warning", ["3 units where 4"]),
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_table_fails_one_statement(case, tmp_path):
    fields, spoil, (name, severity, told) = BAD[case]
    dataset = table_dataset(**fields)

    verdict = judged(tmp_path, dataset, spoil(canonical_table()))

    failure = only_failure(verdict)
    assert (failure.name, failure.severity, failure.part) == (name, severity, "train")
    for words in told:
        assert words in f"{failure.example} {failure.observed}"
    assert name in (tmp_path / "out" / "report.html").read_text()
    assert verdict.success == (severity != "critical")
    if severity == "critical":
        with pytest.raises(ValidationFailedError, match=f"'pumps' is not fit to use: {name} fails in train"):
            raise_if_failed(verdict, dataset)
    else:
        raise_if_failed(verdict, dataset)


def test_gap_longer_than_the_window_is_critical_though_the_share_is_small(tmp_path):
    table = canonical_table(units=10)
    table.loc[50:60, "sensor_2"] = np.nan

    failure = only_failure(judged(tmp_path, table_dataset(), table))

    assert (failure.name, failure.severity) == ("rows_are_complete", "critical")
    assert failure.observed == "the longest gap is 11 rows"
    assert failure.example == "unit 2, row 61, time 21, column sensor_2: missing for 11 rows"


def test_gap_is_found_in_a_unit_whose_rows_lie_apart(tmp_path):
    table = canonical_table(units=10)
    table.loc[50:60, "sensor_2"] = np.nan

    verdict = judged(tmp_path, table_dataset(), interleaved(table))

    assert [o.name for o in verdict.failed("critical")] == ["rows_are_complete"]
    assert verdict.failed("critical")[0].observed == "the longest gap is 11 rows"


def test_gap_ends_with_the_unit(tmp_path):
    table = canonical_table(units=10)
    table.loc[72:87, "sensor_2"] = np.nan

    assert only_failure(judged(tmp_path, table_dataset(), table)).severity == "warning"


@pytest.mark.parametrize(("has_test", "rows"), [(False, 100), (True, 60)])
def test_one_unit_is_enough_where_the_split_can_cut_it(has_test, rows, tmp_path):
    dataset = table_dataset(window={"length": 20}, split={"calibrate": 0.1})
    for short in (1, 0):
        one = canonical_table(units=1, rows=rows - short)
        verdict = judged(tmp_path, dataset, one, canonical_table(seed=1) if has_test else None)
        assert [outcome.name for outcome in verdict.failed("critical")] == ["units_are_enough"] * short
        assert (len(split_rows(rows - short, dataset.split, has_test, 20)) == 1) == bool(short)


def test_good_turbofan_holds_every_statement(tmp_path):
    dataset = table_dataset(**TURBOFAN, labels={"healthy_from": 30, "anomalous_below": 10}, published=PUBLISHED)
    train, test = canonical_table(remaining_life=True), canonical_table(seed=1, remaining_life=True)

    verdict = judged(tmp_path, dataset, train, test)

    assert verdict.failed() == ()
    assert verdict.success
    assert {o.name for o in verdict.expectations} >= {"cycles_are_consecutive", "counts_are_as_published"}
    assert [(size.part, size.rows, size.units) for size in verdict.sizes] == [("train", 120, 3), ("test", 120, 3)]
    assert Verdict.model_validate_json((tmp_path / "out" / "verdict.json").read_text()) == verdict
    page = (tmp_path / "out" / "report.html").read_text()
    assert "every statement holds" in page
    for part in ("train", "test"):
        assert f"href='{part}.html'" in page
        assert "Evaluated Expectations" in (tmp_path / "out" / f"{part}.html").read_text()


def test_unlabelled_table_with_timestamps_holds_every_statement(tmp_path):
    table = canonical_table()
    table["time"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(table["time"], unit="min")

    verdict = judged(tmp_path, table_dataset(), table)

    assert verdict.failed() == ()
    assert "labels_are_binary" not in {o.name for o in verdict.expectations}


def test_limits_are_learnt_from_train_and_judge_test_but_not_its_anomalies(tmp_path):
    train, test = canonical_table(), canonical_table(seed=1)
    test["label"] = pd.array([0] * 119 + [1], dtype="Int8")
    test.loc[119, "sensor_1"] = 50.0
    assert judged(tmp_path, table_dataset(), train, test).failed() == ()

    test.loc[50, "sensor_1"] = 50.0
    failure = only_failure(judged(tmp_path, table_dataset(), train, test))

    assert (failure.part, failure.name, failure.severity) == ("test", "values_are_in_range", "warning")
    assert failure.example.startswith("unit 2, row 51, time 11, column sensor_1: 50 is above 1.0")


def test_broken_train_ends_the_validation(tmp_path):
    verdict = judged(tmp_path, table_dataset(), canonical_table().drop(columns="unit"), canonical_table())

    assert [(o.part, o.name) for o in verdict.expectations] == [("train", "columns_are_present")]


def test_names_are_escaped_in_the_report(tmp_path):
    dataset = table_dataset(title="<script>alert(1)</script>")
    judged(tmp_path, dataset, canonical_table())

    assert "<script" not in (tmp_path / "out" / "report.html").read_text()


def test_unreadable_raw_data_names_the_file(tmp_path):
    raw = write_raw(tmp_path / "raw", canonical_table())
    (raw / "train.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match=r"train\.parquet"):
        validate(table_dataset(), raw, tmp_path)

    (raw / "source.json").write_text(json.dumps({"sensors": []}))
    with pytest.raises(DataError, match=r"source\.json.*settings"):
        validate(table_dataset(), raw, tmp_path)
