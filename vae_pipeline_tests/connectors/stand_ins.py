"""A connector over a list in memory, and what lies in a storage after pulls."""

import json
from pathlib import Path

import pandas as pd

from vae_pipeline.connectors.config import ConnectorConfig
from vae_pipeline.connectors.connect import open_connector
from vae_pipeline.connectors.connector import Fetched
from vae_pipeline.connectors.pull import pull
from vae_pipeline.sources.batch_facts import read_facts
from vae_pipeline.storage import Storage


class Listed:
    """Gives rows of a list, ``fetch`` at a time; the position is an index. ``forgets`` what is acknowledged."""

    def __init__(self, items, *, fetch=2, keeps=True, again=0):
        self.items, self.fetch, self.keeps, self.again = items, fetch, keeps, again
        self.place, self.acknowledged, self.closed = "the list", [], 0

    def rows(self, position):
        start = max(0, (position or {"index": 0})["index"] - self.again)
        for begin in range(start, len(self.items), self.fetch):
            part = self.items[begin : begin + self.fetch]
            yield Fetched(pd.DataFrame(part, dtype=object), {"index": begin + len(part)})

    def acknowledge(self, position):
        self.acknowledged.append(position["index"])

    def close(self):
        self.closed += 1


def config_of(source=None, **fields):
    given = {
        "name": "pumps",
        "dataset": "pumps",
        "source": source or {"kind": "http", "url": "http://127.0.0.1:9"},
        "columns": {"unit": "pump", "time": "at", "sensors": ["flow", "pressure"], "clock": "s"},
        **fields,
    }
    return ConnectorConfig.model_validate(given)


def reading(number, pump="p0", **other):
    return {"pump": pump, "at": number, "flow": float(number), "pressure": number / 10, **other}


def storage_in(folder: Path) -> Storage:
    return Storage(str(folder / "storage"), folder / "cache")


def pulled(folder: Path, config: ConnectorConfig):
    """What came of reading a source once, as a process of its own would."""
    connector = open_connector(config)
    try:
        return pull(connector, storage_in(folder), config)
    finally:
        connector.close()


def files(folder: Path, area="incoming"):
    return sorted((folder / "storage" / area).rglob("*.*")) if (folder / "storage" / area).exists() else []


def batches(folder: Path):
    return [pd.read_parquet(path) for path in files(folder)]


def written(folder: Path) -> pd.DataFrame:
    """All rows in incoming, in the order of the batches."""
    found = batches(folder)
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def keys(folder: Path):
    """Unit and seconds of every row in incoming, sorted: twice there is twice here."""
    frame = written(folder)
    if frame.empty:
        return []
    seconds = frame["time"].astype("datetime64[ns, UTC]").astype("int64") // 10**9
    return sorted(zip(frame["unit"], seconds.tolist(), strict=True))


def facts(folder: Path):
    return [read_facts(path) for path in files(folder)]


def set_aside(folder: Path):
    return [json.loads(line) for path in files(folder, "quarantine") for line in path.read_text().splitlines()]
