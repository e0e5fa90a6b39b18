"""A small raw folder as a source writes it."""

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vae_pipeline.records import Columns, Dataset, Labels, Split, Window

HEALTHY_FROM = 60
ANOMALOUS_BELOW = 20


def write_raw(
    folder: Path,
    *,
    train_units: int = 6,
    test_units: int = 4,
    cycles: int = 160,
    sensors: int = 4,
    regimes: int = 1,
    labels: Literal["life", "column"] | None = "life",
    seed: int = 0,
    length: int = 20,
    stride: int = 1,
) -> Dataset:
    """Write ``train.parquet``, ``test.parquet`` (unless ``test_units`` is 0) and ``source.json``; give the entry.

    Units last ``cycles`` rows give or take a tenth. ``life``: sensors drift before failure, test units are cut off
    5 to 40 cycles before it. ``column``: a stretch of 15 rows is labelled 1 and shifted, in every test unit and every
    second training unit. ``None``: no labels. ``regimes`` above 1 adds two settings that shift every sensor.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    sensor_names = [f"sensor_{number}" for number in range(1, sensors + 1)]
    setting_names = ["setting_1", "setting_2"] if regimes > 1 else []
    offset, spread = rng.uniform(-50, 600, sensors), rng.uniform(0.5, 3, sensors)
    for file, count in (("train", train_units), ("test", test_units)):
        if count:
            tables = [
                _unit(
                    rng,
                    f"{file}_{number:03d}",
                    faulty=file == "test" or number % 2 == 0,
                    cut_off=file == "test",
                    cycles=cycles,
                    offset=offset,
                    spread=spread,
                    regimes=regimes,
                    labels=labels,
                )
                for number in range(1, count + 1)
            ]
            pq.write_table(pa.concat_tables(tables), folder / f"{file}.parquet")
    (folder / "source.json").write_text(json.dumps({"sensors": sensor_names, "settings": setting_names}))
    return Dataset(
        name="tiny",
        title="small table for tests",
        line="timeseries",
        kind="table",
        licence="none",
        columns=Columns(
            unit="unit",
            time="time",
            sensors=tuple(sensor_names),
            settings=tuple(setting_names),
            label="label" if labels == "column" else None,
        ),
        labels=Labels(healthy_from=HEALTHY_FROM, anomalous_below=ANOMALOUS_BELOW) if labels == "life" else Labels(),
        window=Window(length=length, stride=stride),
        split=Split(seed=seed),
        regimes=regimes,
    )


def _unit(
    rng: np.random.Generator,
    name: str,
    *,
    faulty: bool,
    cut_off: bool,
    cycles: int,
    offset: np.ndarray,
    spread: np.ndarray,
    regimes: int,
    labels: str | None,
) -> pa.Table:
    whole = cycles + int(rng.integers(-(cycles // 10), cycles // 10 + 1))
    cut = int(rng.integers(5, min(41, whole - 1))) if cut_off and labels == "life" else 0
    rows = whole - cut
    life = whole - 1.0 - np.arange(rows)
    regime = rng.integers(0, regimes, rows)
    shared = rng.standard_normal((rows, 1))
    values = offset + spread * (0.6 * shared + 0.8 * rng.standard_normal((rows, len(offset))))
    values += 10.0 * spread * regime[:, None]
    columns: dict[str, Any] = {"unit": [name] * rows, "time": np.arange(1, rows + 1)}
    if regimes > 1:
        columns["setting_1"] = 10.0 * regime + rng.normal(0, 0.01, rows)
        columns["setting_2"] = 0.1 * (regime % 3) + rng.normal(0, 1e-4, rows)
    if labels == "life":
        values += spread * (4 * np.exp(-life / 20))[:, None]
        columns["remaining_life"] = life
    label = np.zeros(rows, dtype=np.int8)
    if labels == "column" and faulty:
        start = int(rng.integers(rows // 2, rows - 15))
        label[start : start + 15] = 1
        values[start : start + 15] += 5 * spread
    if labels == "column":
        columns["label"] = label
    columns |= {f"sensor_{index + 1}": values[:, index] for index in range(len(offset))}
    return pa.table(columns)
