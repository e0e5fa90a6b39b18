"""Read a user's own CSV or Parquet files into canonical tables, by the roles the catalogue gives their columns."""

import glob
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from vae_pipeline.errors import CatalogError, DataError
from vae_pipeline.records import Dataset, TableFiles
from vae_pipeline.sources.columns import labels_of, numbers_of, times_of, units_of
from vae_pipeline.sources.delimited import as_numbers, column, missing_column, place, read_frame
from vae_pipeline.sources.keys import KEY, keys_of
from vae_pipeline.sources.label_files import matched, read_labels

__all__ = ["Roles", "canonical_rows", "find_files", "or_canonical", "read_table_files"]

_CANONICAL = ("unit", "time", "remaining_life", "label")
_LIKE_NUMBERS = r"[-+]?(\d[\d.]*,[\d.,]*\d|\d+\.\d+)"


@dataclass(frozen=True)
class Roles:
    """Whom the columns serve; of a dataset settled on its first training file.

    ``left_out`` are the columns of that file which serve no role.
    """

    unit: str | None
    time: str | None
    settings: tuple[str, ...]
    sensors: tuple[str, ...]
    label: str | None
    key: str | None = None
    left_out: tuple[str, ...] = ()


def read_table_files(dataset: Dataset, root: Path) -> tuple[dict[str, pd.DataFrame], Roles]:
    """The part ``train``, and ``test`` if files are stated for it, and whom the columns serve.

    Columns: unit (text), time (int64, float64 or timestamps in UTC), settings and sensors (float64, empty cells are
    nan), ``label`` (Int8) where labels are known, and for units that run to failure ``remaining_life`` (rows to the
    unit's last); ``key`` (text) where one is stated. Rows keep the order of the files.

    Raises:
        DataError: a file, column or value is missing or unfit; the message names it.
        CatalogError: the entry states no files.
    """
    files = _stated(dataset)
    found = {
        part: find_files(root, pattern) for part, pattern in (("train", files.train), ("test", files.test)) if pattern
    }
    first = found["train"][0]
    roles = _roles(dataset, found["train"], files)
    parts = {part: _part(dataset, part, paths, root, roles) for part, paths in found.items()}
    if dataset.columns.label and all("label" not in table for table in parts.values()):
        raise missing_column(first, dataset.columns.label, read_frame(first, files))
    return parts, roles


def find_files(root: Path, pattern: str) -> list[Path]:
    """The files a path or glob names, relative to ``root``, sorted by name.

    Raises:
        DataError: there are none.
    """
    if (root / pattern).is_file():
        return [root / pattern]
    found = sorted(root / name for name in glob.glob(pattern, root_dir=root, recursive=True))  # noqa: PTH207
    found = [path for path in found if path.is_file()]
    if not found:
        msg = f"{root}: no file matches {pattern!r}; correct 'files' in the catalogue or put the file there"
        raise DataError(msg)
    return found


def _stated(dataset: Dataset) -> TableFiles:
    if dataset.files is None:
        msg = f"dataset {dataset.name!r}: a table needs 'files: {{train: ...}}' in the catalogue"
        raise CatalogError(msg)
    return dataset.files


def _roles(dataset: Dataset, paths: list[Path], files: TableFiles) -> Roles:
    columns = dataset.columns
    frame = read_frame(paths[0], files)
    sensors = _inferred(dataset, paths, frame, files) if columns.sensors is None else columns.sensors
    if not sensors:
        msg = f"{paths[0]}: no numeric column is left for sensors; state them under 'columns' in the catalogue"
        raise DataError(msg)
    if columns.key is not None and KEY in (*columns.settings, *sensors):
        msg = f"{paths[0]}: the column {KEY!r} cannot be a sensor or setting where columns.key is stated; rename it"
        raise DataError(msg)
    own = [name for name in (*columns.settings, *sensors) if name in _CANONICAL]
    if own:
        msg = (
            f"{paths[0]}: the column {own[0]!r} cannot be a sensor or setting, as the canonical table has one of that "
            "name; state its role, or the sensors without it, under 'columns' in the catalogue, or rename it"
        )
        raise DataError(msg)
    used = {columns.unit, columns.time, columns.label, columns.key, *columns.settings, *sensors}
    left_out = tuple(name for name in frame.columns if name not in used)
    return Roles(columns.unit, columns.time, columns.settings, tuple(sensors), columns.label, columns.key, left_out)


def _inferred(dataset: Dataset, paths: list[Path], first: pd.DataFrame, files: TableFiles) -> tuple[str, ...]:
    """The numeric columns of the first file that serve no other role, without those that are empty in all files."""
    columns = dataset.columns
    taken = {columns.unit, columns.time, columns.label, columns.key, *columns.settings}
    rest = [name for name in first.columns if name not in taken]
    unknown, sensors = rest, set()
    for path in paths:
        frame = first if path == paths[0] else read_frame(path, files)
        filled = [name for name in unknown if name in frame and bool(column(frame, name).notna().any())]
        # one number is enough: a typo must not make a sensor disappear, it is told when the column is read
        sensors |= {name for name in filled if _holds_numbers(path, column(frame, name), files)}
        unknown = [name for name in unknown if name not in filled]
        if not unknown:
            break
    return tuple(name for name in rest if name in sensors)


def _holds_numbers(file: Path, values: pd.Series, files: TableFiles) -> bool:
    """Whether a cell of a column that is not empty is a number.

    Raises:
        DataError: none is, but all are written like numbers with another decimal mark.
    """
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return False
    if pd.api.types.is_numeric_dtype(values.dtype) or not np.isnan(as_numbers(values, files.decimal)[0]).all():
        return True
    given = values.dropna().astype(str)
    if bool(given.str.strip().str.fullmatch(_LIKE_NUMBERS).all()):
        row = int(values.notna().to_numpy().argmax())
        remedy = "state files.decimal: ','" if files.decimal == "." else "write it without marks of thousands"
        msg = (
            f"{place(file, row, files)}, column {values.name!r}: {given.iloc[0]!r} is no number with the decimal mark "
            f"{files.decimal!r}; {remedy}, or the sensors in use under 'columns', in the catalogue"
        )
        raise DataError(msg)
    return False


def _part(dataset: Dataset, part: str, paths: list[Path], root: Path, roles: Roles) -> pd.DataFrame:
    files = _stated(dataset)
    pattern = files.train_labels if part == "train" else files.test_labels
    labels = matched(paths, find_files(root, pattern)) if pattern else {}
    if roles.unit is None:
        _refuse_same_stems(paths)
    tables = []
    for path in paths:
        table = canonical_rows(path, read_frame(path, files, roles.unit), roles, files)
        if pattern:
            table["label"] = pd.array(read_labels(labels[path], path, len(table)), dtype="Int8")
        if tables and _is_clock(table) != _is_clock(tables[0]):
            msg = f"{path}: the time column is of another type than in {paths[0]}; write both the same way"
            raise DataError(msg)
        tables.append(table)
    whole = pd.concat(tables, ignore_index=True)
    position = whole.groupby("unit", sort=False).cumcount()
    if roles.time is None:
        whole["time"] = position.astype(np.int64)
    if dataset.labels.run_to_failure:
        # rows, as the time may be a clock; the unit's last row is the one at failure
        whole["remaining_life"] = whole.groupby("unit", sort=False).cumcount(ascending=False).astype(np.float64)
    order = ["unit", "time", *roles.settings, *roles.sensors, "remaining_life", "label", *([KEY] if roles.key else [])]
    return whole.loc[:, [name for name in order if name in whole]]


def _is_clock(table: pd.DataFrame) -> bool:
    return "time" in table and pd.api.types.is_datetime64_any_dtype(table["time"].dtype)


def _refuse_same_stems(paths: list[Path]) -> None:
    seen: dict[str, Path] = {}
    for path in paths:
        if path.stem in seen:
            msg = f"{path}: its name would be the unit's, but {seen[path.stem]} has the same; rename one"
            raise DataError(msg)
        seen[path.stem] = path


def canonical_rows(file: Path, frame: pd.DataFrame, roles: Roles, files: TableFiles) -> pd.DataFrame:
    """What `read_frame` gave as columns unit, time and key (where there is one), settings, sensors and label, typed.

    Raises:
        DataError: a column is missing or a value unfit; the message names file, line and column.
    """

    def where(row: int) -> str:
        return place(file, row, files)

    for name in (roles.unit, roles.time, roles.key, *roles.settings, *roles.sensors):
        if name is not None and name not in frame:
            raise missing_column(file, name, frame)
    columns: dict[str, object] = {}
    if roles.unit is None:
        columns["unit"] = np.full(len(frame), file.stem, dtype=object)
    else:
        columns["unit"] = units_of(column(frame, roles.unit), where)
    if roles.time is not None:
        columns["time"] = times_of(column(frame, roles.time), where)
    if roles.key is not None:
        columns[KEY] = keys_of(file, frame, roles.key, files)
    for name in (*roles.settings, *roles.sensors):
        columns[name] = numbers_of(column(frame, name), where, files.decimal)
    if roles.label is not None and roles.label in frame:
        columns["label"] = labels_of(column(frame, roles.label), where)
    return pd.DataFrame(columns)


def or_canonical(stated: str | None, canonical: str, frame: pd.DataFrame) -> str | None:
    """The column that serves a role: as the catalogue calls it, or as the canonical table does."""
    return canonical if stated is not None and stated not in frame and canonical in frame else stated
