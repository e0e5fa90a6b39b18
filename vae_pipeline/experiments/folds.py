"""Folds by unit: which engines, clips or images are held out in turn, and the raw folder of each fold.

Only what fits and calibrates is cut, so no test unit decides anything. A fold is a raw folder like any other, its
training part the rest and its test part the units held out: features, scaling, network and threshold are made from it
by the same functions, and the rest is split into fit and calibrate as the dataset says.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vae_pipeline.errors import DataError
from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline.features.image_set import ImageSet
from vae_pipeline.records import Dataset

__all__ = ["cut", "development_units", "write_fold"]


def development_units(dataset: Dataset, raw: Path, features: Path) -> list[str]:
    """Names of the units that fit or calibrate, long enough to be scored, sorted.

    Raises:
        DataError: units were cut by time, so that none can be held out as a whole.
    """
    if dataset.medium == "image":
        images = ImageSet.open(features)
        return sorted(name for name, part in zip(images.names, images.part, strict=True) if part != "test")
    opened = FeatureSet.open(features)
    # test units come last, and may share a name with one that is fitted on
    rows = pq.read_metadata(raw / "train.parquet").num_rows if dataset.medium == "table" else len(opened.rows)
    own = [segment for segment in opened.segments if segment.start < rows]
    names = [segment.name for segment in own]
    if len(set(names)) < len(names):
        msg = f"{dataset.name}: so few units that they are cut by time; folds hold out whole units, so bring more"
        raise DataError(msg)
    return sorted(
        segment.name for segment in own if segment.part != "test" and segment.stop - segment.start >= opened.length
    )


def cut(units: Sequence[str], count: int, seed: int, name: str) -> list[tuple[str, ...]]:
    """The units in ``count`` folds of equal size, or nearly, drawn with ``seed``; each stands in one.

    Raises:
        DataError: there are fewer units than folds, or fewer than two folds.
    """
    if count < 2:
        msg = f"{count} folds: at least 2 are needed, one to hold out and one to fit on"
        raise DataError(msg)
    if count > len(units):
        msg = f"{name}: {count} folds need as many units, but {len(units)} fit or calibrate; ask for fewer"
        raise DataError(msg)
    shuffled = np.random.default_rng(seed).permutation(sorted(units))
    return [tuple(sorted(str(unit) for unit in shuffled[number::count])) for number in range(count)]


def write_fold(dataset: Dataset, raw: Path, folder: Path, units: Sequence[str], held_out: Sequence[str]) -> None:
    """Write the raw folder of a fold.

    A table's test part are the units held out. Recordings and images that fit are all normal, so the anomalous ones of
    the dataset's test part join those held out; they are scored there and decide nothing.

    Args:
        dataset: whose.
        raw: its raw folder; files that index tables name stay there.
        folder: an existing, empty folder.
        units: all that fit or calibrate.
        held_out: those of this fold.
    """
    train = pq.read_table(raw / "train.parquet")
    if dataset.medium == "table":
        _write_rows(train, folder, units, held_out)
    else:
        _write_index(raw, train, folder, units, held_out)
    if (raw / "source.json").exists():
        shutil.copyfile(raw / "source.json", folder / "source.json")


def _write_rows(train: pa.Table, folder: Path, units: Sequence[str], held_out: Sequence[str]) -> None:
    names = np.array([str(name) for name in train["unit"].to_pylist()])
    for part, chosen in {"train": set(units) - set(held_out), "test": set(held_out)}.items():
        pq.write_table(train.filter(pa.array(np.isin(names, sorted(chosen)))), folder / f"{part}.parquet")


def _write_index(raw: Path, train: pa.Table, folder: Path, units: Sequence[str], held_out: Sequence[str]) -> None:
    rows: list[dict[str, Any]] = train.to_pylist()
    known, held = set(units), set(held_out)
    fitted = [row for row in rows if str(row["unit"]) in known and row["label"] != 1]
    test = raw / "test.parquet"
    more = pq.read_table(test).to_pylist() if test.exists() else []
    anomalous = [row for row in [*rows, *more] if row["label"] == 1]
    parts = {
        "train": [row for row in fitted if str(row["unit"]) not in held],
        "test": [row for row in fitted if str(row["unit"]) in held] + anomalous,
    }
    for part, chosen in parts.items():
        for row in chosen:
            for column in ("file", "mask"):
                if row.get(column):
                    row[column] = str((raw / row[column]).resolve())
        pq.write_table(pa.Table.from_pylist(chosen), folder / f"{part}.parquet")
