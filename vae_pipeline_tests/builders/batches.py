"""A small dataset of a user's own pumps with a storage root, and batches of it that lie in incoming."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from vae_pipeline.records import Dataset
from vae_pipeline.settings import Settings
from vae_pipeline.sources.load import load
from vae_pipeline.storage import Storage, open_incoming, open_storage

SENSORS = ("pressure", "flow", "temperature")


def pumps(units: int = 4, rows: int = 60, seed: int = 0, *, first: int = 0, step: float = 1.0) -> pd.DataFrame:
    """Readings of pumps named ``p0`` and on, every ``step`` seconds; what they measure moves together."""
    random = np.random.default_rng(seed)
    frames = []
    for number in range(first, first + units):
        shared = random.standard_normal((rows, 1))
        values = np.array([6.0, 40.0, 70.0]) + np.array([0.2, 1.0, 2.0]) * (
            0.7 * shared + 0.7 * random.standard_normal((rows, 3))
        )
        frame = pd.DataFrame(values, columns=list(SENSORS))
        frame.insert(0, "pump", f"p{number}")
        frame.insert(1, "second", np.arange(rows) * step)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


@dataclass(frozen=True)
class Plant:
    """A dataset, where it is kept, and where new data of it arrive."""

    dataset: Dataset
    settings: Settings
    storage: Storage
    incoming: Storage

    @property
    def door(self) -> Path:
        """The folder below incoming."""
        folder = Path(self.settings.incoming_root) / self.dataset.line / self.dataset.name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def drop(self, frame: pd.DataFrame, name: str = "week.csv") -> Path:
        """Put a table into incoming."""
        file = self.door / name
        frame.to_parquet(file) if file.suffix == ".parquet" else frame.to_csv(file, index=False)
        return file

    def raw(self, folder: Path) -> Path:
        """The dataset's raw folder, as it is now."""
        load(self.dataset, self.settings, folder)
        return folder


def plant(folder: Path, *, tested: bool = True, **fields: object) -> Plant:
    """A plant with eight pumps to learn from and, where ``tested``, four to test on."""
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    pumps(8, 120, seed=1).to_csv(data / "train.csv", index=False)
    if tested:
        pumps(4, 120, seed=2, first=8).to_csv(data / "test.csv", index=False)
    files = {"train": "train.csv", **({"test": "test.csv"} if tested else {})}
    entry = {
        "name": "pumps",
        "title": "pumps of a plant",
        "line": "timeseries",
        "kind": "table",
        "licence": "none",
        "folder": str(data),
        "files": files,
        "columns": {"unit": "pump", "time": "second", "sensors": list(SENSORS)},
        "window": {"length": 10},
        **fields,
    }
    return plant_of(Dataset.model_validate(entry), folder)


def plant_of(dataset: Dataset, folder: Path) -> Plant:
    """A plant around a dataset of its own."""
    settings = Settings(home=folder / "home")
    return Plant(dataset, settings, open_storage(settings), open_incoming(settings))
