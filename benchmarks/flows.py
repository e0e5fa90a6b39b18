"""How much passes through one process a second: ``python -m benchmarks.flows --write``.

A connector that reads a database into batches, the prediction log of a service, and the reader of that log for the
day's drift report, each alone in a process on a local disk. Scoring is measured by ``benchmarks.throughput``.
"""

import argparse
import datetime as dt
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.report import machine, markdown_table, write_section

PAGE = Path(__file__).resolve().parent.parent / "docs" / "scale.md"
SENSORS = [f"sensor_{number}" for number in range(14)]
DAY = dt.date(2026, 1, 5)


def connector(folder: Path, rows: int) -> tuple[int, float]:
    """Rows of 14 readings pulled from SQLite, and the seconds it took."""
    import pandas as pd
    import sqlalchemy

    from vae_pipeline.connectors.config import ConnectorConfig
    from vae_pipeline.connectors.connect import open_connector
    from vae_pipeline.connectors.pull import pull
    from vae_pipeline.storage import Storage

    address = f"sqlite:///{folder / 'plant.db'}"
    values = np.random.default_rng(0).normal(size=(rows, len(SENSORS)))
    table = pd.DataFrame(dict(zip(SENSORS, values.T, strict=True)))
    table["at"] = np.arange(rows) // 10
    table["machine"] = [f"m{number % 10}" for number in range(rows)]
    table.to_sql("readings", sqlalchemy.create_engine(address), index_label="id")
    config = ConnectorConfig.model_validate(
        {
            "name": "plant",
            "dataset": "plant",
            "source": {"kind": "sql", "url": address, "table": "readings", "key": "id"},
            "columns": {"unit": "machine", "time": "at", "sensors": SENSORS, "clock": "s"},
        }
    )
    reader = open_connector(config)
    begun = time.perf_counter()
    pulled = pull(reader, Storage(str(folder / "storage"), folder / "cache"), config)
    seconds = time.perf_counter() - begun
    reader.close()
    return pulled.rows, seconds


def prediction_log(folder: Path, requests: int, each: int) -> tuple[int, float]:
    """Rows written by the log of a service, and the seconds it took."""
    from vae_pipeline.monitoring.prediction_log import Answered, PredictionLog
    from vae_pipeline.storage import Storage

    random = np.random.default_rng(0)
    log = PredictionLog(Storage(str(folder / "log"), folder / "cache"), "timeseries", every=3600, most=10**9)
    begun = time.perf_counter()
    for number in range(requests):
        log.add(
            Answered(
                dataset="plant",
                version=1,
                request=f"{number:032x}",
                time=dt.datetime(DAY.year, DAY.month, DAY.day, number % 24, tzinfo=dt.UTC),
                seconds=0.01,
                threshold=1.0,
                names=[f"m{number % 10}:{row}" for row in range(each)],
                score=random.normal(size=each),
                alarm=np.zeros(each, dtype=bool),
                inputs=random.normal(size=(each, len(SENSORS))).astype(np.float32),
                latent=random.normal(size=(each, 8)).astype(np.float32),
            )
        )
        if number % 200 == 199:
            log.flush()
    log.close()
    return requests * each, time.perf_counter() - begun


def reader(folder: Path) -> tuple[int, float, int]:
    """Rows of that log read for a report, the seconds it took, and its bytes on disk."""
    from vae_pipeline.drift.day import Span, read_days
    from vae_pipeline.storage import Storage

    storage = Storage(str(folder / "log"), folder / "cache")
    begun = time.perf_counter()
    found = read_days(storage, "timeseries", "plant", 1, Span(DAY, DAY))
    seconds = time.perf_counter() - begun
    return found.rows, seconds, sum(held.size for held in storage.files())


def main() -> None:
    """Measure and print, or write into docs/scale.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flows", description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000, help="of the database")
    parser.add_argument("--write", action="store_true", help="write the table into docs/scale.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flows-") as name:
        folder = Path(name)
        pulled = connector(folder, options.rows)
        written = prediction_log(folder, 1000, 1000)
        rows, seconds, size = reader(folder)
    table = markdown_table(
        ["one process", "rows", "rows/s", "MB/s of readings"],
        [
            ["connector, SQL into batches", *_rates(*pulled, 8 * len(SENSORS))],
            [f"prediction log, {size / rows:.0f} bytes a row on disk", *_rates(*written, size / rows)],
            ["log read for a drift report", *_rates(rows, seconds, size / rows)],
        ],
    )
    text = f"{machine()}\n\n{table}"
    print(text)
    if options.write:
        write_section(PAGE, "flows", text)


def _rates(rows: int, seconds: float, each: float) -> list[str]:
    return [f"{rows:,}", f"{rows / seconds:,.0f}", f"{rows * each / seconds / 1e6:.1f}"]


if __name__ == "__main__":
    main()
