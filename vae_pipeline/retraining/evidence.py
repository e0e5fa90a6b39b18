"""What is known of a model's world: the newest report on drift, and the data that came since it was fitted."""

import datetime as dt
from collections.abc import Sequence

from vae_pipeline.drift.daily import judged, judgement
from vae_pipeline.drift.record import Drift
from vae_pipeline.records import Dataset
from vae_pipeline.retraining.policy import Evidence
from vae_pipeline.sources.batches import Version, find_batch, newest_version, read_version
from vae_pipeline.storage import Storage

__all__ = ["evidence", "new_rows", "newest_report"]

_DATE = len("2026-03-01")


def evidence(
    storage: Storage,
    dataset: Dataset,
    *,
    version: int,
    since: dt.date,
    dataset_version: int,
    known: int,
    begun: Sequence[dt.datetime] = (),
    running: bool = False,
) -> Evidence:
    """What speaks for retraining a champion.

    Args:
        storage: holds reports and batches.
        dataset: of the champion.
        version: of the champion; reports on others say nothing of it.
        since: the day it was registered; there is no report on it of a day before.
        dataset_version: number of the newest version of the dataset that a model was fitted on, champion or not.
        known: rows of that.
        begun: when earlier runs of the line began.
        running: whether one is under way.

    Raises:
        StorageError: the storage cannot be read.
    """
    report, newest = newest_report(storage, dataset, version, since), newest_version(storage, dataset)
    return Evidence(
        drifted=report is not None and report.drifted,
        day=dt.date.fromisoformat(report.day) if report else None,
        known=known,
        new=new_rows(storage, dataset, newest, dataset_version),
        version=newest.number,
        begun=tuple(begun),
        running=running,
    )


def newest_report(storage: Storage, dataset: Dataset, version: int, since: dt.date) -> Drift | None:
    """The report of the newest day on this version of the model in which something could be said; None without one.

    Days before ``since`` are not looked at.
    """
    for name in judged(storage, dataset.line, dataset.name):
        if name[-_DATE:] < since.isoformat():
            return None
        found = judgement(storage, dataset.line, dataset.name, name)
        if found is not None and found.version == version and found.verdict != "too_few":
            return found
    return None


def new_rows(storage: Storage, dataset: Dataset, newest: Version, seen: int) -> int:
    """Rows of the newest version's batches that version ``seen`` did not hold."""
    before = newest if newest.number == seen else read_version(storage, dataset, seen)
    known = before.batches if before else ()
    found = (find_batch(storage, dataset, each) for each in newest.batches if each not in known)
    return sum(batch.rows for batch in found if batch)
