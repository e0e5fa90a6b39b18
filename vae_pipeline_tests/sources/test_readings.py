import pandas as pd
import pytest

from vae_pipeline.errors import DataError
from vae_pipeline.sources.readings import read_readings
from vae_pipeline.sources.table import read_table_files
from vae_pipeline_tests.builders.cmapss import entry, write_cmapss

COLUMNS = {"unit": "unit", "time": "cycle"}


def test_a_text_file_of_c_mapss_is_read_in_its_own_layout(tmp_path):
    write_cmapss(tmp_path)
    frame = read_readings(tmp_path / "test_FD001.txt", entry(columns=COLUMNS))
    assert list(frame.columns[:3]) == ["unit", "cycle", "setting_1"]
    assert len(frame) == 60
    assert frame["unit"].nunique() == 3


def test_a_layout_that_has_a_unit_and_a_time_needs_no_statement_of_them(tmp_path):
    write_cmapss(tmp_path)
    dataset = entry()
    assert (dataset.columns.unit, dataset.columns.time) == ("unit", "cycle")
    assert list(read_readings(tmp_path / "test_FD001.txt", dataset).columns[:2]) == ["unit", "cycle"]


@pytest.mark.parametrize("kind", ["cmapss", "table"])
def test_csv_and_parquet_keep_rows_and_names(tmp_path, kind):
    frame = pd.DataFrame({"cycle": [2, 1, 3], "pressure": [0.5, None, 2.5]})
    frame.to_csv(tmp_path / "new.csv", index=False)
    frame.to_parquet(tmp_path / "new.parquet")
    for name in ("new.csv", "new.parquet"):
        pd.testing.assert_frame_equal(read_readings(tmp_path / name, entry(kind=kind, columns=COLUMNS)), frame)


def test_the_dataset_says_separator_and_header(tmp_path):
    (tmp_path / "new.csv").write_text("1;2\n3;4\n")
    dataset = entry(kind="table", files={"train": "x", "header": False, "separator": ";"})
    assert read_readings(tmp_path / "new.csv", dataset).to_dict("list") == {"column_1": [1, 3], "column_2": [2, 4]}


def test_dates_are_times(tmp_path):
    (tmp_path / "new.csv").write_text("cycle,p\n2024-03-01 00:01:00,1\n2024-03-01 00:00:00,2\n")
    frame = read_readings(tmp_path / "new.csv", entry(kind="table", columns=COLUMNS))
    assert pd.api.types.is_datetime64_any_dtype(frame["cycle"])
    (tmp_path / "new.csv").write_text("cycle,p\nmonday,1\ntuesday,2\n")
    with pytest.raises(DataError, match=r"new\.csv, line 2, column 'cycle': 'monday' is no time"):
        read_readings(tmp_path / "new.csv", entry(kind="table", columns=COLUMNS))


@pytest.mark.parametrize(
    "times",
    [
        ["2024-01-01 00:00:00", "2024-01-01 00:00:00.5"],
        ["2024-01-01", "2024-01-01 00:01:00"],
        ["2024-01-01T02:00:00+02:00", "2024-01-01T01:30:00+01:00"],
        ["31.01.2024 10:00", "01.02.2024 10:00"],
        ["", "17"],
    ],
)
@pytest.mark.parametrize("named", ["cycle", "time"])
def test_times_are_read_as_in_training(tmp_path, times, named):
    (tmp_path / "new.csv").write_text(f"{named},p\n" + "".join(f"{time},1\n" for time in times))
    found = read_readings(tmp_path / "new.csv", entry(kind="table", columns={"time": "cycle"}))[named]
    (tmp_path / "train.csv").write_text((tmp_path / "new.csv").read_text())
    trained = entry(kind="table", columns={"time": named, "sensors": ["p"]}, files={"train": "train.csv"})
    expected = read_table_files(trained, tmp_path)[0]["train"]["time"]
    pd.testing.assert_series_equal(found, expected, check_names=False)


@pytest.mark.parametrize("named", ["pump", "unit"])
def test_a_unit_may_be_called_na(tmp_path, named):
    (tmp_path / "new.csv").write_text(f"{named},p\nNA,1\nb,NA\n")
    found = read_readings(tmp_path / "new.csv", entry(kind="table", columns={"unit": "pump"}))
    assert found[named].tolist() == ["NA", "b"]
    assert found["p"].isna().tolist() == [False, True]


def test_what_has_to_be_a_number_is_told_with_its_line(tmp_path):
    (tmp_path / "new.csv").write_text("p;q\n1,5;a\n1.5;b\n")
    dataset = entry(kind="table", files={"train": "x", "separator": ";", "decimal": ","})
    with pytest.raises(DataError, match=r"new\.csv, line 3, column 'p': '1\.5' is no number"):
        read_readings(tmp_path / "new.csv", dataset, ["p"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.csv", None, "there is no such file"),
        ("folder", "", "there is no such file"),
        ("new.csv", b"", "no rows"),
        ("new.csv", b"a,b\n", "no rows"),
        ("new.parquet", b"PAR1", "cannot be read"),
        ("new.txt", b"1 2 3\n", "line 1: 3 fields instead of 26"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path, name, content, message):
    if content == "":
        (tmp_path / name).mkdir()
    elif content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as told:
        read_readings(tmp_path / name, entry(columns=COLUMNS))
    assert str(tmp_path / name) in str(told.value)
