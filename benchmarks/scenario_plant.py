"""The plant of the scenario: engines of FD001, what they send a day, and what comes once their sensors are changed."""

from pathlib import Path
from typing import NamedTuple, cast

import httpx
import numpy as np
import pandas as pd
import yaml

from vae_pipeline.catalog import dataset
from vae_pipeline.settings import Settings
from vae_pipeline.sources.load import load, read_table

__all__ = ["NAME", "Plant", "plant", "send"]

NAME = "plant_turbofan"
_FITTED, _TESTED, _SENT = 34, 44, 74
"""Number of the last engine that is fitted or calibrated on, tested on, sends; those after it come in the batch."""
_DAY = 5
"""Engines that send in a day."""


class Plant(NamedTuple):
    """What there is.

    Attributes:
        catalog: catalogue file of the dataset, its tables beside it.
        days: rows of engines that nobody trained on, none of them near failure, a table a day, no engine
            in two.
        batch: complete runs of further engines, recorded after the sensors were changed.
        sensors: that were changed.
        shift: of each, one standard deviation of working engines.
        changed: adds the change to rows of a day.
        told: what was made of what, in a line each.
    """

    catalog: Path
    days: list[pd.DataFrame]
    batch: pd.DataFrame
    sensors: list[str]
    shift: dict[str, float]
    told: list[str]

    def changed(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The same rows from sensors that read one standard deviation off, each to the side to which it wears."""
        return rows.assign(**{name: rows[name] + self.shift[name] for name in self.sensors})


def plant(settings: Settings, folder: Path) -> Plant:
    """Made from FD001: its training engines are the dataset and the later batch, its test engines the traffic."""
    folder.mkdir(parents=True, exist_ok=True)
    known = dataset("FD001", "timeseries")
    source = load(known, settings, folder / "FD001")
    sensors = list(source["sensors"])
    columns = ["unit", "time", *source["settings"], *sensors]
    train = read_table(folder / "FD001", "train")
    train["number"] = train["unit"].astype(int)
    working = f"remaining_life >= {known.labels.anomalous_below}"
    fitted = _rows(train, f"number <= {_FITTED}", columns)
    fitted.to_csv(folder / "train.csv", index=False)
    _rows(train, f"{_FITTED} < number <= {_TESTED}", columns).to_csv(folder / "test.csv", index=False)
    days = [
        _rows(train, f"{first} < number <= {first + _DAY} and {working}", columns)
        for first in range(_TESTED, _SENT, _DAY)
    ]
    entry = {
        "line": "timeseries",
        "kind": "table",
        "title": "engines of FD001 as a plant has them",
        "licence": known.licence,
        "files": {"train": "train.csv", "test": "test.csv"},
        "columns": {"unit": "unit", "time": "time", "settings": source["settings"], "sensors": sensors},
        "labels": known.labels.model_dump(),
        "window": known.window.model_dump(),
        "split": {"test": 0.3},
        "training": {"epochs": 20},
    }
    catalog = folder / "plant.yaml"
    catalog.write_text(yaml.safe_dump({"datasets": {NAME: entry}}, sort_keys=False))
    told = [
        f"dataset: engines 1 to {_FITTED} of train_FD001 to fit and calibrate, {_FITTED + 1} to {_TESTED} to test",
        f"traffic: engines {_TESTED + 1} to {_SENT} until {known.labels.anomalous_below} cycles before failure, "
        f"{_DAY} others each day",
        f"batch: engines from {_SENT + 1} until failure, every sensor 1 sd off as if worn",
    ]
    normal = _rows(train, f"number <= {_FITTED} and {working}", sensors)
    worn = _rows(train, f"number <= {_FITTED} and not {working}", sensors)
    shift = {
        name: float(np.std(normal[name]) * np.sign(np.mean(worn[name]) - np.mean(normal[name]))) for name in sensors
    }
    made = Plant(catalog, days, _rows(train, f"number > {_SENT}", columns), sensors, shift, told)
    return made._replace(batch=made.changed(made.batch))


def send(port: int, rows: pd.DataFrame) -> tuple[int, float]:
    """Ask the service about each engine's rows; gives the number of windows and the share that alarms."""
    alarms: list[bool] = []
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        for _, engine in rows.groupby("unit", sort=False):
            answer = client.post(
                f"/predict?model={NAME}", content=engine.to_csv(index=False), headers={"Content-Type": "text/csv"}
            )
            answer.raise_for_status()
            alarms += [result["alarm"] for result in answer.json()["results"]]
    return len(alarms), float(np.mean(alarms))


def _rows(frame: pd.DataFrame, wanted: str, columns: list[str]) -> pd.DataFrame:
    return cast("pd.DataFrame", frame.query(wanted)[columns])
