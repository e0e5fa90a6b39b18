"""Read the text files of NASA C-MAPSS, and anything in their layout, into canonical tables.

A row is ``unit cycle setting_1..3 sensor_1..21``, separated by blanks. Training units run to failure; test units end
before it, and ``RUL_<name>.txt`` states for each, in order, the cycles left after its last row (Saxena et al., 2008).
"""

from pathlib import Path

import numpy as np
import pandas as pd

from vae_pipeline.errors import CatalogError, DataError
from vae_pipeline.records import Dataset

__all__ = ["SENSORS", "SETTINGS", "cycles_to_last_row", "find_files", "read_cmapss", "read_rows"]

SETTINGS = tuple(f"setting_{number}" for number in range(1, 4))
SENSORS = tuple(f"sensor_{number}" for number in range(1, 22))
_FIELDS = ("unit", "cycle", *SETTINGS, *SENSORS)


def read_cmapss(dataset: Dataset, folder: Path) -> dict[str, pd.DataFrame]:
    """The parts ``train`` and ``test``: unit, time (cycle), settings, all sensors, remaining_life in cycles.

    Raises:
        DataError: a file is missing, empty, or has a line that does not fit; the message names file, line and column.
        CatalogError: the entry names a sensor or setting that the layout does not have.
    """
    unknown = sorted({*(dataset.columns.sensors or ()), *dataset.columns.settings} - {*SETTINGS, *SENSORS})
    if unknown:
        msg = f"dataset {dataset.name!r}: C-MAPSS files have no column {unknown[0]!r}; they have {', '.join(_FIELDS)}"
        raise CatalogError(msg)
    train_file, test_file, life_file = find_files(dataset, folder)
    train, test = read_rows(train_file), read_rows(test_file)
    train["remaining_life"] = cycles_to_last_row(train)
    test["remaining_life"] = cycles_to_last_row(test) + _life_after_last_row(test, life_file, test_file)
    for table in (train, test):
        table["unit"] = table["unit"].astype(str)
    return {"train": train, "test": test}


def find_files(dataset: Dataset, folder: Path) -> tuple[Path, Path, Path]:
    """The files of the training rows, the test rows and the remaining lives, at any depth of ``folder``.

    Their names follow the dataset's (``train_FD001.txt``), or are stated as ``files: {train, test, test_labels}``.

    Raises:
        DataError: one is missing, or there are two of the same name.
    """
    names = [f"{part}_{dataset.name}.txt" for part in ("train", "test", "RUL")]
    if dataset.files:
        stated = (dataset.files.train, dataset.files.test, dataset.files.test_labels)
        names = [own or name for own, name in zip(stated, names, strict=True)]
    return _only(folder, names[0]), _only(folder, names[1]), _only(folder, names[2])


def _only(folder: Path, name: str) -> Path:
    if (folder / name).is_file():
        return folder / name
    found = sorted(folder.rglob(name))
    if not found:
        msg = f"{folder}: {name} is missing; complete the archive or folder, or correct the dataset's name"
        raise DataError(msg)
    if len(found) > 1:
        msg = f"{folder}: {name} is there twice, as {found[0]} and {found[1]}; remove one"
        raise DataError(msg)
    return found[0]


def read_rows(file: Path) -> pd.DataFrame:
    """A train or test file: columns ``unit``, ``time``, settings and sensors, rows in file order.

    Raises:
        DataError: a line has another number of fields or a field is no number; the message names line and column.
    """
    table = _numbers(file, _FIELDS)
    table.columns = ["unit", "time", *SETTINGS, *SENSORS]
    for field, column in (("unit", "unit"), ("cycle", "time")):
        values = table[column].to_numpy()
        broken = np.flatnonzero(~np.isfinite(values) | (values != np.floor(values)))
        if broken.size:
            line = _line_of_row(file, int(broken[0]))
            msg = f"{file}, line {line}, column {field!r}: {values[broken[0]]} is no whole number; correct the line"
            raise DataError(msg)
        table[column] = values.astype(np.int64)
    return table


def _numbers(file: Path, fields: tuple[str, ...]) -> pd.DataFrame:
    """The file as float64 columns 0..n-1; the slow search for the offending line runs only when reading fails."""
    try:
        table = pd.read_csv(file, sep=r"\s+", header=None, dtype=np.float64, na_filter=False, engine="c")
    except pd.errors.EmptyDataError as error:
        msg = f"{file}: the file is empty; download the data again"
        raise DataError(msg) from error
    except OSError as error:
        msg = f"{file}: cannot be read ({error.strerror}); check its permissions"
        raise DataError(msg) from error
    except ValueError as error:  # ParserError and UnicodeDecodeError among them
        raise _offending_line(file, fields) from error
    if table.shape[1] != len(fields):
        raise _offending_line(file, fields)
    return table


def _offending_line(file: Path, fields: tuple[str, ...]) -> DataError:
    with file.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            values = line.split()
            if values and len(values) != len(fields):
                return DataError(f"{file}, line {number}: {len(values)} fields instead of {len(fields)}; correct it")
            for field, value in zip(fields, values, strict=False):
                if not _is_number(value):
                    return DataError(f"{file}, line {number}, column {field!r}: {value!r} is no number; correct it")
    return DataError(f"{file}: not text of {len(fields)} numbers a line; download the data again")


def _is_number(text: str) -> bool:
    try:
        # Python also takes nan and 1_000, which are no C-MAPSS numbers
        return "_" not in text and not np.isnan(float(text))
    except ValueError:
        return False


def _line_of_row(file: Path, row: int) -> int:
    with file.open(encoding="utf-8", errors="replace") as lines:
        filled = [number for number, line in enumerate(lines, start=1) if line.strip()]
    return filled[row]


def cycles_to_last_row(table: pd.DataFrame) -> np.ndarray:
    """Cycles from each row to the last of its unit, float64 (n_rows,)."""
    last = table.groupby("unit", sort=False)["time"].transform("max")
    return (last - table["time"]).to_numpy(np.float64)


def _life_after_last_row(test: pd.DataFrame, life_file: Path, test_file: Path) -> np.ndarray:
    life = _numbers(life_file, ("remaining life",))[0].to_numpy()
    codes, units = pd.factorize(test["unit"])
    if len(life) != len(units):
        msg = f"{life_file}: {len(life)} values, but {test_file.name} has {len(units)} units; there must be one each"
        raise DataError(msg)
    broken = np.flatnonzero(~np.isfinite(life) | (life < 0))
    if broken.size:
        line = _line_of_row(life_file, int(broken[0]))
        msg = f"{life_file}, line {line}: {life[broken[0]]} is no remaining life (cycles, 0 or more); correct the line"
        raise DataError(msg)
    return life[codes]
