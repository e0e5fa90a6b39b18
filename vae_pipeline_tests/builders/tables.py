"""Small canonical tables: a folder as a source writes it, good until a test spoils it."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from vae_pipeline.records import Dataset

SENSORS = ["sensor_1", "sensor_2", "sensor_3"]
SETTINGS = ["setting_1"]
WINDOW = 10


def canonical_table(units: int = 3, rows: int = 40, seed: int = 0, *, remaining_life: bool = False) -> pd.DataFrame:
    """Units named 1, 2, …, cycles from 1, a setting and three noisy sensors."""
    generator = np.random.default_rng(seed)
    parts = []
    for unit in range(1, units + 1):
        part = pd.DataFrame({"unit": str(unit), "time": np.arange(1, rows + 1, dtype="int64")})
        for name in SETTINGS + SENSORS:
            part[name] = generator.uniform(0.0, 1.0, rows)
        if remaining_life:
            part["remaining_life"] = np.arange(rows - 1, -1, -1, dtype="float64")
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def table_dataset(kind: str = "table", **fields: object) -> Dataset:
    """A catalogue entry for such tables, window 10."""
    entry = {
        "name": "pumps",
        "title": "three pumps",
        "line": "timeseries",
        "kind": kind,
        "licence": "none",
        "window": {"length": WINDOW},
        **fields,
    }
    return Dataset.model_validate(entry)


def write_raw(folder: Path, train: pd.DataFrame, test: pd.DataFrame | None = None) -> Path:
    """Write train.parquet, test.parquet and source.json."""
    folder.mkdir(parents=True, exist_ok=True)
    train.to_parquet(folder / "train.parquet", index=False)
    if test is not None:
        test.to_parquet(folder / "test.parquet", index=False)
    (folder / "source.json").write_text(json.dumps({"sensors": SENSORS, "settings": SETTINGS}))
    return folder
