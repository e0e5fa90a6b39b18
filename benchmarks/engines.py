"""Raw tables of made-up engines of any number, written engine by engine so that making them takes no memory."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vae_pipeline.records import Dataset

__all__ = ["TEST_ENGINES", "TRAIN_ENGINES", "write_engines"]

TRAIN_ENGINES = 40
TEST_ENGINES = 20
"""Engines of one fold; ten folds have ten times as many."""

_LIFE = (180, 300)
_WEAR = 60.0
_GROUP = 50


def write_engines(dataset: Dataset, folder: Path, folds: int, seed: int = 0) -> int:
    """Write ``train.parquet``, ``test.parquet`` and ``source.json`` with the columns of ``dataset``; gives the rows.

    Engines fly ``dataset.regimes`` regimes in random order and wear out over their last cycles; test engines stop 20
    cycles before failure. A row group holds 50 engines.
    """
    random = np.random.default_rng(seed)
    sensors, settings = list(dataset.columns.sensors or ()), list(dataset.columns.settings)
    level = random.uniform(-50.0, 600.0, (dataset.regimes, len(sensors)))
    rows = 0
    for name, engines, unseen in (("train", TRAIN_ENGINES, 0), ("test", TEST_ENGINES, 20)):
        writer = None
        for first in range(0, engines * folds, _GROUP):
            numbers = range(first, min(first + _GROUP, engines * folds))
            made = [_engine(random, f"{name}_{number}", unseen, level, settings) for number in numbers]
            table = pa.concat_tables(made)
            table = table.rename_columns(["unit", "time", "remaining_life", *settings, *sensors])
            writer = writer or pq.ParquetWriter(folder / f"{name}.parquet", table.schema)
            writer.write_table(table)
            rows += table.num_rows
        if writer:
            writer.close()
    (folder / "source.json").write_text(json.dumps({"sensors": sensors, "settings": settings}))
    return rows


def _engine(random: np.random.Generator, name: str, unseen: int, level: np.ndarray, settings: list[str]) -> pa.Table:
    life = int(random.integers(*_LIFE))
    seen = life - unseen
    left = life - 1.0 - np.arange(seen)
    regime = random.integers(0, len(level), seen)
    values = level[regime] + random.standard_normal((seen, level.shape[1])) + 4.0 * np.exp(-left / _WEAR)[:, None]
    columns = [[name] * seen, np.arange(1, seen + 1), left]
    columns += [10.0 * regime + random.normal(0.0, 0.01, seen) for _ in settings]
    columns += [np.ascontiguousarray(values[:, index]) for index in range(values.shape[1])]
    return pa.table([pa.array(column) for column in columns], names=[str(index) for index in range(len(columns))])
