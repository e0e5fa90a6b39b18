"""What is known of a model's world: the newest report on drift, and the data that came since it was fitted."""

import datetime as dt
from collections.abc import Sequence
from pathlib import PurePosixPath

from pydantic import ValidationError

from vae_pipeline.drift.daily import ROOT
from vae_pipeline.drift.record import Drift
from vae_pipeline.drift.report import RECORD
from vae_pipeline.records import Dataset
from vae_pipeline.retraining.policy import Evidence
from vae_pipeline.sources.batches import find_batch, newest_version, versions
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
    report = newest_report(storage, dataset, version)
    return Evidence(
        drifted=report is not None and report.drifted,
        day=dt.date.fromisoformat(report.day) if report else None,
        known=known,
        new=new_rows(storage, dataset, dataset_version),
        version=newest_version(storage, dataset).number,
        begun=tuple(begun),
        running=running,
    )


def newest_report(storage: Storage, dataset: Dataset, version: int) -> Drift | None:
    """The report of the newest day on this version of the model in which something could be said; None without one."""
    root = PurePosixPath(ROOT) / dataset.line / dataset.name
    keys = (PurePosixPath(held.key) for held in storage.files(str(root)))
    for key in sorted((key for key in keys if key.name == RECORD and key.parents[1] == root), reverse=True):
        try:
            found = Drift.model_validate_json(storage.read_text(str(key)))
        except ValidationError:  # of another version of this package: it decides nothing
            continue
        if found.version == version and found.verdict != "too_few":
            return found
    return None


def new_rows(storage: Storage, dataset: Dataset, seen: int) -> int:
    """Rows of the accepted batches that version ``seen`` of the dataset did not hold."""
    known = next((each.batches for each in versions(storage, dataset) if each.number == seen), ())
    found = (
        find_batch(storage, dataset, each) for each in newest_version(storage, dataset).batches if each not in known
    )
    return sum(batch.rows for batch in found if batch)
