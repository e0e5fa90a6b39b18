import numpy as np
import pandas as pd
import pytest

from vae_pipeline.errors import CatalogError, DataError
from vae_pipeline.sources.table import read_table_files
from vae_pipeline_tests.builders.cmapss import entry

PLAIN = "time,unit,speed,a,b,note\n0,x,1,1.5,2,ok\n1,x,1,,3,ok\n2,y,2,2.5,4,bad\n"
ROLES = {"unit": "unit", "time": "time", "settings": ["speed"]}


def write(tmp_path, **texts):
    for name, text in texts.items():
        (tmp_path / f"{name}.csv").write_text(text)


def read(tmp_path, columns=None, files=None, **more):
    dataset = entry(kind="table", files={"train": "train.csv", **(files or {})}, columns=columns or {}, **more)
    parts, roles = read_table_files(dataset, tmp_path)
    return parts, list(roles.sensors)


def test_roles(tmp_path):
    write(tmp_path, train=PLAIN)
    parts, sensors = read(tmp_path, ROLES)
    table = parts["train"]
    assert sensors == ["a", "b"]
    assert list(table.columns) == ["unit", "time", "speed", "a", "b"]
    assert table["unit"].tolist() == ["x", "x", "y"]
    assert table["time"].dtype == np.int64
    assert table["a"].tolist()[::2] == [1.5, 2.5]
    assert np.isnan(table["a"][1])
    assert table["b"].dtype == np.float64
    assert "test" not in parts


def test_file_is_the_unit_and_row_the_time(tmp_path):
    (tmp_path / "in").mkdir()
    write(tmp_path / "in", pump_b="a\n1\n2\n", pump_a="a\n3\n4\n5\n")
    table = read(tmp_path, files={"train": "in/*.csv"})[0]["train"]
    assert table["unit"].tolist() == ["pump_a"] * 3 + ["pump_b"] * 2
    assert table["time"].tolist() == [0, 1, 2, 0, 1]


def test_rows_are_counted_in_each_unit(tmp_path):
    write(tmp_path, train="unit,a\n1,5\n2,6\n1,7\n")
    table = read(tmp_path, {"unit": "unit"})[0]["train"]
    assert table[["unit", "time", "a"]].values.tolist() == [["1", 0, 5.0], ["2", 0, 6.0], ["1", 1, 7.0]]


def test_order_of_the_file_is_kept(tmp_path):
    write(tmp_path, train="time,a\n5,1\n3,2\n3,3\n")
    assert read(tmp_path, {"time": "time"})[0]["train"]["time"].tolist() == [5, 3, 3]


def test_same_file_name_twice(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, pump="a\n1\n")
    with pytest.raises(DataError, match="rename one"):
        read(tmp_path, files={"train": "*/pump.csv"})


def test_without_header_and_other_separators(tmp_path):
    write(tmp_path, train="1;2\n3;4\n", blanks="1   2\n 3 4 \n")
    table = read(tmp_path, {"sensors": ["column_2"]}, {"header": False, "separator": ";"})[0]["train"]
    assert table["column_2"].tolist() == [2, 4]
    parts, sensors = read(tmp_path, files={"train": "blanks.csv", "header": False, "separator": r"\s+"})
    assert sensors == ["column_1", "column_2"]
    assert parts["train"]["column_1"].tolist() == [1, 3]
    with pytest.raises(DataError, match="separator"):
        read(tmp_path, files={"separator": "::"})


def test_parquet(tmp_path):
    times = pd.date_range("2024-01-01", periods=3, freq="min", tz="Europe/Berlin")
    pd.DataFrame({"when": times, "unit": [1.0, 1.0, 2.0], "a": [1, 2, 3]}).to_parquet(tmp_path / "t.parquet")
    columns = {"time": "when", "unit": "unit"}
    table = read(tmp_path, columns, {"train": "t.parquet"})[0]["train"]
    assert table["time"].dtype == "datetime64[ns]"
    assert str(table["time"][0]) == "2023-12-31 23:00:00"
    assert table["unit"].tolist() == ["1", "1", "2"]
    pd.DataFrame({"a": ["1", "x"]}).to_parquet(tmp_path / "bad.parquet")
    with pytest.raises(DataError, match=r"bad\.parquet, row 2, column 'a': 'x'"):
        read(tmp_path, files={"train": "bad.parquet"})
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"broken\.parquet: cannot be read"):
        read(tmp_path, files={"train": "broken.parquet"})


def test_missing_column_names_those_there_are(tmp_path):
    write(tmp_path, train=PLAIN)
    with pytest.raises(DataError, match=r"train\.csv: the column 'c' is missing; the file has time, unit, speed, a, b"):
        read(tmp_path, {"sensors": ["a", "c"]})


def test_missing_column_in_the_test_file(tmp_path):
    write(tmp_path, train="a,b\n1,2\n", test="a\n1\n")
    with pytest.raises(DataError, match=r"test\.csv: the column 'b'"):
        read(tmp_path, files={"test": "test.csv"})


@pytest.mark.parametrize("columns", [{"sensors": ["a"]}, {}])
def test_text_in_a_number_column_is_named_with_its_line(tmp_path, columns):
    write(tmp_path, train='note,a\n"two\nlines",1\n\nx,2\nx,n/k\nx,4\n')
    with pytest.raises(DataError, match=r"train\.csv, line 6, column 'a': 'n/k' is no number"):
        read(tmp_path, columns)


COMMAS = "when;a;b;n\n31.01.2024;1,5;-2,25;1\n01.02.2024;;3;2\n"


def test_decimal_commas_are_refused_by_name_and_read_where_they_are_stated(tmp_path):
    write(tmp_path, train=COMMAS)
    with pytest.raises(DataError, match=r"train\.csv, line 2, column 'a': '1,5' is no number .* files\.decimal: ','"):
        read(tmp_path, files={"separator": ";"})
    parts, sensors = read(tmp_path, files={"separator": ";", "decimal": ","})
    assert sensors == ["a", "b", "n"]
    np.testing.assert_array_equal(parts["train"][["a", "b"]], [[1.5, -2.25], [np.nan, 3.0]])


@pytest.mark.parametrize("sensors", [None, ["a"]])
def test_with_decimal_commas_a_point_is_no_number(tmp_path, sensors):
    form = {"separator": ";", "decimal": ","}
    for cell in ("1.234", "1.234,5"):
        write(tmp_path, train=f"a;n\n{cell};1\n")
        with pytest.raises(DataError, match=f"line 2, column 'a': '{cell}' is no number"):
            read(tmp_path, {"sensors": sensors}, form)
    write(tmp_path, train="a;n\n1,5;1\nn/k;2\n")
    with pytest.raises(DataError, match="line 3, column 'a': 'n/k' is no number"):
        read(tmp_path, {"sensors": sensors}, form)


def test_a_comma_cannot_be_both_separator_and_decimal_mark():
    with pytest.raises(ValueError, match="separator and decimal are both ','"):
        entry(kind="table", files={"train": "train.csv", "decimal": ","})


def test_a_column_that_is_empty_in_all_files_is_no_sensor(tmp_path):
    write(tmp_path, train="a,late,\n1,,\n2,,\n", trainer="a,late,\n3,4,\n")
    dataset = entry(kind="table", files={"train": "train*.csv"})
    parts, roles = read_table_files(dataset, tmp_path)
    assert (roles.sensors, roles.left_out) == (("a", "late"), ("Unnamed: 2",))
    assert "Unnamed: 2" not in parts["train"]


def test_what_serves_no_role_is_told(tmp_path):
    write(tmp_path, train=PLAIN)
    for sensors in (None, ["a"]):
        dataset = entry(kind="table", files={"train": "train.csv"}, columns={**ROLES, "sensors": sensors})
        assert read_table_files(dataset, tmp_path)[1].left_out == (("note",) if sensors is None else ("b", "note"))


@pytest.mark.parametrize("name", ["unit", "time", "label", "remaining_life"])
def test_a_sensor_that_is_named_like_a_role_is_refused(tmp_path, name):
    write(tmp_path, train=f"{name},a\n1,2\n")
    for columns in ({}, {"sensors": [name]}, {"sensors": ["a"], "settings": [name]}):
        with pytest.raises(DataError, match=rf"train\.csv: the column '{name}' cannot be a sensor or setting"):
            read(tmp_path, columns)


def test_line_without_header(tmp_path):
    write(tmp_path, train="1,2\n1,x\n")
    with pytest.raises(DataError, match="line 2, column 'column_2': 'x'"):
        read(tmp_path, {"sensors": ["column_2"]}, {"header": False})


@pytest.mark.parametrize("text", ["", "a,b\n", "\n\n"])
def test_empty_file(tmp_path, text):
    write(tmp_path, train=text)
    with pytest.raises(DataError, match=r"train\.csv: the file has no rows"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1,2\n1,2,3\n", "line 3"),
        ("a,b\n1,2,3\n1,2,3\n", "line 2: 3 fields, but the header has 2"),
        ("a,a\n1,2\n", "'a' is there twice"),
        ("note\nx\n", "no numeric column"),
    ],
)
def test_unfit_form(tmp_path, text, says):
    write(tmp_path, train=text)
    with pytest.raises(DataError, match=says):
        read(tmp_path)


def test_no_text_file_at_all(tmp_path):
    (tmp_path / "train.csv").write_bytes(b"a,b\n\xff\xfe,1\n")
    with pytest.raises(DataError, match="cannot be read as a table"):
        read(tmp_path)


def test_missing_file_and_files(tmp_path):
    with pytest.raises(DataError, match=r"no file matches 'train\.csv'"):
        read(tmp_path)
    with pytest.raises(CatalogError, match="needs 'files"):
        read_table_files(entry(kind="table"), tmp_path)


@pytest.mark.parametrize(
    ("times", "first"),
    [
        (["2024-01-01 00:00:00", "2024-01-01 00:00:00.5"], "2024-01-01 00:00:00"),
        (["2024-01-01T02:00:00+02:00", "2024-01-01T03:00:00+02:00"], "2024-01-01 00:00:00"),
        (["31/01/2024 10:00", "01/02/2024 10:00"], "2024-01-31 10:00:00"),
        (["2024-01-01", ""], "2024-01-01 00:00:00"),
    ],
)
def test_times_are_read(tmp_path, times, first):
    write(tmp_path, train="t,a\n" + "".join(f"{time},1\n" for time in times))
    table = read(tmp_path, {"time": "t"})[0]["train"]
    assert table["time"].dtype == "datetime64[ns]"
    assert str(table["time"][0]) == first


def test_fractions_of_a_time(tmp_path):
    write(tmp_path, train="t,a\n0.5,1\n,1\n")
    times = read(tmp_path, {"time": "t"})[0]["train"]["time"]
    assert times.dtype == np.float64
    assert times.isna().tolist() == [False, True]


@pytest.mark.parametrize("odd", ["yesterday", "17", "01.02.2024", "2024-01-01T00:00:00Z", "2024-13-01 00:00:00"])
def test_odd_time_is_named(tmp_path, odd):
    write(tmp_path, train=f"t,a\n2024-01-01 00:00:00,1\n2024-01-01 00:01:00,1\n{odd},1\n")
    with pytest.raises(DataError, match=rf"train\.csv, line 4, column 't': '{odd}' is no time"):
        read(tmp_path, {"time": "t"})


def test_times_differ_between_files(tmp_path):
    (tmp_path / "in").mkdir()
    write(tmp_path / "in", one="t,a\n1,1\n", two="t,a\n2024-01-01,1\n")
    with pytest.raises(DataError, match=r"two\.csv: the time column is of another type"):
        read(tmp_path, {"time": "t"}, {"train": "in/*.csv"})


def test_empty_unit(tmp_path):
    write(tmp_path, train="u,a\nx,1\n,2\n")
    with pytest.raises(DataError, match="line 3, column 'u': the unit is empty"):
        read(tmp_path, {"unit": "u"})


def test_a_unit_may_be_called_na(tmp_path):
    for form in ({}, {"header": False}):
        header = "a,u,b\n" if not form else ""
        write(tmp_path, train=f"{header}NA,NA,\n2,null,1\n\n3,7,1\n")
        names = {"unit": "u"} if not form else {"unit": "column_2"}
        table = read(tmp_path, names, form)[0]["train"]
        assert table["unit"].tolist() == ["NA", "null", "7"]
        assert table.iloc[:, 2].isna().tolist() == [True, False, False]
    write(tmp_path, train="a,u\n1,NA\n2,\n")
    with pytest.raises(DataError, match="line 3, column 'u': the unit is empty"):
        read(tmp_path, {"unit": "u"})


def test_label_column(tmp_path):
    write(tmp_path, train="a\n1\n2\n", test="a,fault\n1,0\n2,1\n3,\n")
    parts, sensors = read(tmp_path, {"label": "fault"}, {"test": "test.csv"})
    assert sensors == ["a"]
    assert "label" not in parts["train"]
    assert parts["test"]["label"].dtype == "Int8"
    assert parts["test"]["label"].tolist() == [0, 1, pd.NA]
    write(tmp_path, test="a,fault\n1,0\n2,2\n")
    with pytest.raises(DataError, match="line 3, column 'fault': the label is '2'"):
        read(tmp_path, {"label": "fault"}, {"test": "test.csv"})
    write(tmp_path, test="a\n1\n")
    with pytest.raises(DataError, match="the column 'fault' is missing"):
        read(tmp_path, {"label": "fault"}, {"test": "test.csv"})


def test_label_files_by_name(tmp_path):
    for folder in ("test", "label"):
        (tmp_path / folder).mkdir()
    write(tmp_path, train="a\n1\n")
    write(tmp_path / "test", m1="a\n1\n2\n", m2="a\n3\n")
    write(tmp_path / "label", m1="0\n1\n", m2="1\n")
    files = {"test": "test/*.csv", "test_labels": "label/*.csv"}
    test = read(tmp_path, files=files)[0]["test"]
    assert test["label"].tolist() == [0, 1, 1]
    (tmp_path / "label/m2.csv").rename(tmp_path / "label/m3.csv")
    with pytest.raises(DataError, match=r"m2\.csv: no label file has the same name; there are m1\.csv, m3\.csv"):
        read(tmp_path, files=files)


@pytest.mark.parametrize(
    ("labels", "says"), [("0\n", r"labels\.csv: 1 labels, but .*train\.csv has 2 rows"), ("0\n2\n", "line 2.*'2'")]
)
def test_unfit_label_files(tmp_path, labels, says):
    write(tmp_path, train="a\n1\n2\n", labels=labels)
    with pytest.raises(DataError, match=says):
        read(tmp_path, files={"train_labels": "labels.csv"})


def test_units_that_run_to_failure(tmp_path):
    write(tmp_path, train="unit,a\n1,5\n2,6\n1,7\n1,8\n")
    table = read(tmp_path, {"unit": "unit"}, labels={"healthy_from": 2, "anomalous_below": 1})[0]["train"]
    assert table["remaining_life"].tolist() == [2, 0, 1, 0]


@pytest.mark.parametrize(
    "ids", [["P-0001", "", "P-0003"], ["000001", "", "000003"], ["1.50", "NA", "2"], ["P-1", "NA", ""]]
)
def test_a_key_is_kept_as_it_is_written_and_is_no_sensor(ids, tmp_path):
    rows = "".join(f"{number},{name}\n" for number, name in enumerate(ids))
    write(tmp_path, train=f"a,part\n{rows}")
    for sensors in (None, ("a",)):
        parts, used = read(tmp_path, {"key": "part", "sensors": sensors})
        assert used == ["a"]
        assert parts["train"]["key"].tolist() == ids


def test_a_key_may_be_the_unit_too(tmp_path):
    write(tmp_path, train="part,a\n007,1\n")
    table = read(tmp_path, {"unit": "part", "key": "part"})[0]["train"]
    assert table[["unit", "key"]].values.tolist() == [["7", "007"]]


def test_a_key_in_a_file_without_a_header_or_of_parquet(tmp_path):
    write(tmp_path, train="1;007\n2;008\n")
    table = read(tmp_path, {"key": "column_2"}, {"header": False, "separator": ";"})[0]["train"]
    assert table["key"].tolist() == ["007", "008"]
    pd.DataFrame({"a": [1.0, 2.0], "part": [7.0, None]}).to_parquet(tmp_path / "train.parquet")
    assert read(tmp_path, {"key": "part"}, {"train": "train.parquet"})[0]["train"]["key"].tolist() == ["7", ""]


def test_a_key_that_is_not_there_or_has_the_name_of_a_sensor_is_told(tmp_path):
    write(tmp_path, train="a,key,part\n1,2,x\n")
    with pytest.raises(DataError, match="'serial' is missing"):
        read(tmp_path, {"key": "serial", "sensors": ("a",)})
    with pytest.raises(DataError, match=r"'key' cannot be a sensor or setting where columns\.key is stated; rename it"):
        read(tmp_path, {"key": "part"})
