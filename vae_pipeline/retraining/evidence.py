"""What is known of a model's world: the newest report on drift, and the data that came since it was fitted."""

import datetime as dt
from collections.abc import Sequence

from vae_pipeline.drift.daily import judged, judgement
from vae_pipeline.drift.record import Drift
from vae_pipeline.records import Dataset
from vae_pipeline.retraining.policy import Evidence
from vae_pipeline.sources.batches import Version, find_batch, versions
from vae_pipeline.storage import Storage

__all__ = ["evidence", "new_rows", "newest_report"]


def evidence(
    storage: Storage,
    dataset: Dataset,
    *,
    version: int,
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
        dataset_version: number of the dataset's version that it was fitted on.
        known: rows of that.
        begun: when earlier retrainings began.
        running: whether one is under way.

    Raises:
        StorageError: the storage cannot be read.
    """
    report, listed = newest_report(storage, dataset, version), versions(storage, dataset)
    return Evidence(
        drifted=report is not None and report.drifted,
        day=dt.date.fromisoformat(report.day) if report else None,
        known=known,
        new=new_rows(storage, dataset, listed, dataset_version),
        version=listed[-1].number,
        begun=tuple(begun),
        running=running,
    )


def newest_report(storage: Storage, dataset: Dataset, version: int) -> Drift | None:
    """The report of the newest day on this version of the model in which something could be said; None without one."""
    for day in judged(storage, dataset.line, dataset.name):
        found = judgement(storage, dataset.line, dataset.name, day)
        if found is not None and found.version == version and found.verdict != "too_few":
            return found
    return None


def new_rows(storage: Storage, dataset: Dataset, listed: Sequence[Version], seen: int) -> int:
    """Rows of the newest version's batches that version ``seen`` did not hold; ``listed`` are all, from the first."""
    known = next((each.batches for each in listed if each.number == seen), ())
    found = (find_batch(storage, dataset, each) for each in listed[-1].batches if each not in known)
    return sum(batch.rows for batch in found if batch)
