import numpy as np
import pytest

from vae_pipeline.errors import CatalogError, DataError
from vae_pipeline.sources.cmapss import read_cmapss
from vae_pipeline_tests.builders.cmapss import entry, write_cmapss


@pytest.fixture
def folder(tmp_path):
    return write_cmapss(tmp_path / "deep" / "er").parent


def change(folder, name, line, edit):
    path = folder / "er" / name
    lines = path.read_text().splitlines(keepends=True)
    lines[line - 1] = edit(lines[line - 1])
    path.write_text("".join(lines))


def test_canonical_columns(folder):
    parts = read_cmapss(entry(), folder)
    train = parts["train"]
    settings, sensors = [f"setting_{n}" for n in range(1, 4)], [f"sensor_{n}" for n in range(1, 22)]
    assert list(train.columns) == ["unit", "time", *settings, *sensors, "remaining_life"]
    assert train["time"].dtype == np.int64
    assert set(train[settings + sensors].dtypes) == {np.dtype(np.float64)}
    assert list(train["unit"].unique()) == ["1", "2"]
    assert len(train) == 70
    first = (folder / "er/train_FD001.txt").read_text().split()
    assert train.loc[0, sensors[0]] == float(first[5])


def test_remaining_life(folder):
    parts = read_cmapss(entry(), folder)
    train, test = parts["train"], parts["test"]
    assert train.loc[train["unit"] == "1", "remaining_life"].tolist() == list(range(29, -1, -1))
    assert test.groupby("unit")["remaining_life"].last().tolist() == [7, 0, 12]
    assert test.loc[0, "remaining_life"] == 19 + 7


def test_remaining_lives_follow_the_order_of_the_units(folder):
    path = folder / "er/test_FD001.txt"
    rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join(rows[40:60] + rows[:40]))
    test = read_cmapss(entry(), folder)["test"]
    assert test.groupby("unit")["remaining_life"].min().to_dict() == {"3": 7, "1": 0, "2": 12}


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda line: line.rstrip() + " 1.0 \n", "line 5: 27 fields instead of 26"),
        (lambda line: line.rsplit(maxsplit=1)[0] + "\n", "line 5: 25 fields instead of 26"),
        (lambda line: line.replace(line.split()[3], "abc", 1), "line 5, column 'setting_2': 'abc' is no number"),
        (lambda line: line.replace(line.split()[-1], "nan"), "line 5, column 'sensor_21': 'nan' is no number"),
        (lambda line: "1.5" + line[1:], "line 5, column 'unit': 1.5 is no whole number"),
        (lambda line: "\udcff".encode("utf-8", "surrogateescape").decode("latin-1") + line, "line 5, column 'unit'"),
    ],
)
def test_unfit_line_is_named(folder, edit, says):
    change(folder, "train_FD001.txt", 5, edit)
    with pytest.raises(DataError, match=says) as caught:
        read_cmapss(entry(), folder)
    assert "train_FD001.txt" in str(caught.value)


def test_every_line_too_long_is_told(folder):
    path = folder / "er/test_FD001.txt"
    path.write_text("".join(f"{line.rstrip()} 1\n" for line in path.read_text().splitlines()))
    with pytest.raises(DataError, match="line 1: 27 fields"):
        read_cmapss(entry(), folder)


def test_bytes_that_are_no_text_are_told(folder):
    path = folder / "er/train_FD001.txt"
    path.write_bytes(path.read_bytes().replace(b" 5 ", b" \xff\xfe ", 1))
    with pytest.raises(DataError, match="line 5, column 'cycle'"):
        read_cmapss(entry(), folder)


@pytest.mark.parametrize("name", ["train_FD001.txt", "test_FD001.txt", "RUL_FD001.txt"])
def test_empty_and_missing_files(folder, name):
    (folder / "er" / name).write_text("")
    with pytest.raises(DataError, match=f"{name}: the file is empty"):
        read_cmapss(entry(), folder)
    (folder / "er" / name).unlink()
    with pytest.raises(DataError, match=f"{name} is missing"):
        read_cmapss(entry(), folder)


def test_file_there_twice(folder):
    write_cmapss(folder / "again")
    with pytest.raises(DataError, match=r"train_FD001\.txt is there twice"):
        read_cmapss(entry(), folder)


@pytest.mark.parametrize("content", ["1\n2\n", "1\n2\n3\n4\n"])
def test_number_of_remaining_lives(folder, content):
    (folder / "er/RUL_FD001.txt").write_text(content)
    with pytest.raises(DataError, match=r"RUL_FD001\.txt: \d values, but test_FD001\.txt has 3 units"):
        read_cmapss(entry(), folder)


@pytest.mark.parametrize(("content", "says"), [("1\nx\n3\n", "line 2.*'x'"), ("1\n\n2\n-3\n", "line 4: -3.0 is no")])
def test_unfit_remaining_life(folder, content, says):
    (folder / "er/RUL_FD001.txt").write_text(content)
    with pytest.raises(DataError, match=says):
        read_cmapss(entry(), folder)


def test_other_name_with_stated_files(folder):
    files = {"train": "train_FD001.txt", "test": "test_FD001.txt", "test_labels": "RUL_FD001.txt"}
    assert len(read_cmapss(entry(name="mine", files=files), folder)["train"]) == 70


def test_unknown_sensor(folder):
    with pytest.raises(CatalogError, match="sensor_22"):
        read_cmapss(entry(columns={"sensors": ["sensor_22"]}), folder)
