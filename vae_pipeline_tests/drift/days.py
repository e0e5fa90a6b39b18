"""A small prediction log, and a detector with a reference of its own."""

import copy
import datetime as dt
import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from vae_pipeline.detector.detector import Detector
from vae_pipeline.monitoring.prediction_log import Answered, table_of
from vae_pipeline.storage import Storage

DAY = dt.date(2026, 3, 1)
LATENTS = 3
INPUTS = 4


def opened(folder: Path) -> Storage:
    return Storage(str(folder / "storage"), folder / "cache")


def answered(
    scores,
    *,
    names=None,
    request="r",
    dataset="tiny",
    version=3,
    hour=12,
    day=DAY,
    latent=None,
    inputs=None,
) -> Answered:
    """One request; latents and inputs are the scores again where they are not given."""
    scores = np.asarray(scores, dtype=np.float64)
    return Answered(
        dataset=dataset,
        version=version,
        request=request,
        time=dt.datetime(day.year, day.month, day.day, hour, 30, tzinfo=dt.UTC),
        seconds=0.01,
        threshold=1.0,
        names=[None] * len(scores) if names is None else names,
        score=scores,
        alarm=scores > 1.0,
        inputs=np.asarray(np.repeat(scores[:, None], INPUTS, 1) if inputs is None else inputs, np.float32),
        latent=np.asarray(np.repeat(scores[:, None], LATENTS, 1) if latent is None else latent, np.float32),
    )


def key_of(one: Answered, name: str, line: str = "timeseries") -> str:
    return f"predictions/{line}/{one.dataset}/{one.time:%Y-%m-%d/%H}/{name}.parquet"


def keep(storage: Storage, one: Answered, name: str = "a", line: str = "timeseries") -> str:
    """Write a request as a file of the log; gives its key."""
    buffer = io.BytesIO()
    pq.write_table(table_of([one]), buffer)
    storage.write_bytes(key_of(one, name, line), buffer.getvalue())
    return key_of(one, name, line)


class World:
    """Units whose samples are alike: what is normal, and what is drawn on a day."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)

    def units(self, count: int, each: int, shift: float = 0.0):
        """Scores (n,), latents, inputs and codes of ``count`` units."""
        n = count * each
        own = np.repeat(self.random.normal(size=(count, 1 + LATENTS + INPUTS)), each, axis=0)
        values = own + self.random.normal(size=(n, own.shape[1])) + shift
        codes = np.repeat(np.arange(count), each)
        return values[:, 0], values[:, 1 : 1 + LATENTS], values[:, 1 + LATENTS :], codes

    def detector(self, like: Detector, units: int = 30, each: int = 10) -> Detector:
        """A detector as ``like``, with a reference drawn from this world."""
        scores, latents, inputs, codes = self.units(units, each)
        found = copy.copy(like)
        found.reference = {"scores": scores, "latents": latents, "inputs": inputs, "units": codes}
        return found

    def day(self, dataset: str, units: int = 30, each: int = 10, shift: float = 0.0, **more) -> Answered:
        """A request with windows of so many units."""
        scores, latents, inputs, codes = self.units(units, each, shift)
        names = [f"engine {code}, row {row}" for row, code in enumerate(codes, start=1)]
        return answered(scores, names=names, dataset=dataset, latent=latents, inputs=inputs, **more)
