"""What arrived, a table or a folder of files, as the rows of a batch in the dataset's own roles."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from vae_pipeline.errors import DataError
from vae_pipeline.records import Dataset, TableFiles
from vae_pipeline.sources.archives import extract
from vae_pipeline.sources.batch_facts import BatchFacts, read_facts
from vae_pipeline.sources.batches import ROWS
from vae_pipeline.sources.cmapss import SENSORS, SETTINGS, cycles_to_last_row, read_rows
from vae_pipeline.sources.columns import numbers_of
from vae_pipeline.sources.delimited import column, place, read_frame
from vae_pipeline.sources.keys import KEY
from vae_pipeline.sources.pictures import read_pictures
from vae_pipeline.sources.recordings import read_recordings
from vae_pipeline.sources.table import Roles, canonical_rows, or_canonical
from vae_pipeline.storage import told

__all__ = ["BatchRead", "forms", "read_batch"]

_PARQUET = (".parquet", ".pq")
_TABLES = (".csv", *_PARQUET)
_CYCLES = ("cmapss", "sample_turbofan")
_MOST_BYTES = 64 * 2**30  # of an unpacked zip
_BY_FOLDER = "by the folders the files lie in"


class BatchRead(NamedTuple):
    """How the rows of a batch are labelled, in words, and what its connector noted of it, if one wrote it."""

    labelled: str
    facts: BatchFacts | None = None


def forms(dataset: Dataset) -> str:
    """What a batch of the dataset looks like, in words."""
    if dataset.medium == "table":
        return "a .csv or .parquet file" + (", or a .txt file in the layout of C-MAPSS" * (dataset.kind in _CYCLES))
    noun = "recordings" if dataset.medium == "sound" else "images"
    return f"a folder of {noun}, or a .zip of one"


def read_batch(dataset: Dataset, arrived: Path, raw: Path, work: Path, folder: Path) -> BatchRead:
    """Write ``batch.parquet`` into ``folder`` (and ``files/`` beside it).

    Tables have the columns of the dataset's own raw table. Where units run to failure each unit is taken as a whole
    run, and ``remaining_life`` counts back from its last row, unless the file has a column of that name or a label
    column. Of files the index is that of `read_recordings` or `read_pictures`; where they lie in no folders of classes
    all are normal.

    Args:
        dataset: says whom columns serve.
        arrived: a file, or a folder, that nobody changes.
        raw: the dataset's own raw folder.
        work: an empty folder for what is unpacked.
        folder: receives the batch.

    Raises:
        DataError: it is no batch of this dataset, or cannot be read; the message names file, row or column.
        ArchiveError: it is a damaged or unsafe zip.
    """
    if dataset.medium == "table":
        rows, found = _table(dataset, arrived, raw)
    else:
        root = arrived
        if arrived.is_file():
            if arrived.suffix.lower() != ".zip":
                raise _no_batch(dataset, arrived)
            root = extract(arrived, work / "unpacked", _MOST_BYTES)
        rows, found = _files(dataset, root, folder), BatchRead(_BY_FOLDER)
    with told(folder):
        rows.to_parquet(folder / ROWS, index=False)
    return found


def _no_batch(dataset: Dataset, arrived: Path) -> DataError:
    return DataError(f"{arrived}: no batch of {dataset.name}, which is {forms(dataset)}; write it in that form")


def _table(dataset: Dataset, file: Path, raw: Path) -> tuple[pd.DataFrame, BatchRead]:
    source = json.loads((raw / "source.json").read_text())
    suffix = file.suffix.lower()
    in_layout = dataset.kind in _CYCLES and suffix == ".txt"
    if not file.is_file() or (suffix not in _TABLES and not in_layout):
        raise _no_batch(dataset, file)
    form = dataset.files or TableFiles(train="")
    frame = read_rows(file) if in_layout else read_frame(file, form, dataset.columns.unit)
    facts = read_facts(file) if suffix in _PARQUET else None
    roles = _roles(dataset, source, frame)
    rows = canonical_rows(file, frame, roles, form)
    if roles.time is None:
        rows["time"] = rows.groupby("unit", sort=False).cumcount().astype(np.int64)
    labelled = "not labelled: taken as normal"
    if "label" in rows:
        labelled = (facts and facts.labelled) or f"by the column {roles.label!r}"
    if dataset.labels.run_to_failure:
        stated = "remaining_life" in frame
        if stated:
            life = column(frame, "remaining_life")
            rows["remaining_life"] = numbers_of(life, lambda row: place(file, row, form), form.decimal)
            labelled = "by the column 'remaining_life'"
        elif "label" in rows:
            rows["remaining_life"] = np.nan
        else:
            whole = cycles_to_last_row(rows) if dataset.kind in _CYCLES else _rows_to_last(rows)
            rows["remaining_life"] = whole
            labelled = "by cycles to each unit's last row: every unit is a whole run to failure"
    order = ["unit", "time", *roles.settings, *roles.sensors, "remaining_life", "label", *([KEY] if roles.key else [])]
    return rows.loc[:, [name for name in order if name in rows]], BatchRead(labelled, facts)


def _rows_to_last(rows: pd.DataFrame) -> np.ndarray:
    return rows.groupby("unit", sort=False).cumcount(ascending=False).to_numpy(np.float64)


def _roles(dataset: Dataset, source: dict[str, list[str]], frame: pd.DataFrame) -> Roles:
    columns = dataset.columns
    label = columns.label or ("label" if "label" not in source["sensors"] else None)
    key = or_canonical(columns.key, KEY, frame)
    # what the layout has beside the sensors in use is kept: the next entry may use it
    more = [name for name in frame.columns if name in _kept(dataset) and name not in source["sensors"]]
    more = [name for name in more if name not in source["settings"]]
    return Roles(
        unit=or_canonical(columns.unit, "unit", frame),
        time=or_canonical(columns.time, "time", frame),
        settings=tuple(source["settings"]),
        sensors=(*source["sensors"], *more),
        label=label if label in frame else None,
        key=key if key in frame else None,  # a row without one belongs to nothing elsewhere
    )


def _kept(dataset: Dataset) -> tuple[str, ...]:
    return (*SETTINGS, *SENSORS) if dataset.kind in _CYCLES else ()


def _files(dataset: Dataset, root: Path, folder: Path) -> pd.DataFrame:
    if dataset.medium == "image":
        # of a user's own images folders and masks may be left out; a batch of any dataset may do the same
        parts = read_pictures(dataset.model_copy(update={"kind": "images"}), root, folder, linked=True)
    else:
        parts = read_recordings(dataset.model_copy(update={"kind": "recordings"}), root, folder, linked=True)
    found = list(parts.values())
    return pd.concat(found, ignore_index=True).astype({name: kind.name for name, kind in found[0].dtypes.items()})
