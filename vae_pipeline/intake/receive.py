"""One batch from incoming into the dataset's next version, or into quarantine.

Whatever moment it is stopped at, a batch is in incoming, or accepted, or in quarantine, and doing it again finishes it:
the batch's folder appears whole, then the version that lists it, then what arrived is removed.
"""

import datetime as dt
import hashlib
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vae_pipeline.errors import StorageError
from vae_pipeline.intake.arrive import DONE, TRUSTED, Arrival, arrival
from vae_pipeline.intake.judge import Judgement, judge
from vae_pipeline.intake.report import report
from vae_pipeline.records import Dataset, Record
from vae_pipeline.sources.batches import (
    BATCH,
    Batch,
    Version,
    add_version,
    batch_folder,
    batch_key,
    find_batch,
    newest_version,
    versions,
)
from vae_pipeline.sources.download import sha256_of
from vae_pipeline.storage import Storage, work_folder, write_bytes, write_json

if TYPE_CHECKING:
    from vae_pipeline.detector.detector import Detector

__all__ = ["Received", "receive"]


class Received(Record):
    """What became of a batch.

    ``accepted``: it is in ``version``. ``known``: its content was there already, so that it was only removed from
    incoming. ``refused``: it is in quarantine. ``waiting``: it changed or went away while it was read, and is taken at
    a later look. ``version`` is the dataset's newest in every case; ``report`` is the key of the page in storage.
    """

    name: str
    outcome: Literal["accepted", "known", "refused", "waiting"]
    version: int
    reason: str
    batch: str = ""
    rows: int = 0
    labelled: str = ""
    report: str = ""

    @property
    def accepted(self) -> bool:
        """Whether it is in the version."""
        return self.outcome == "accepted"


def receive(
    dataset: Dataset,
    name: str,
    *,
    storage: Storage,
    incoming: Storage,
    raw: Path,
    scratch: Path,
    champion: "Detector | None" = None,
    without: str = "the dataset has no champion yet",
) -> Received:
    """Take the batch of that name out of ``incoming/<line>/<dataset>/``.

    It must be complete; see `Arrival.complete`. It is judged from a private copy.

    Args:
        dataset: the catalogue's entry.
        name: of the file or folder.
        storage: receives batches, versions and quarantine.
        incoming: where it lies.
        raw: a raw folder of the dataset; batches accepted since it was made are read beside it.
        scratch: a local folder for the private copy.
        champion: the detector that tests the labels.
        without: why there is none, where there is none.

    Raises:
        StorageError: storage or incoming cannot be read or written; the batch stays where it was.
        DataError: the dataset's own data are not fit; the batch stays where it was.
    """
    version = newest_version(storage, dataset)
    found = arrival(incoming, dataset.line, dataset.name, name)
    if found is None:
        return _waiting(name, version, "is no longer there: renamed or removed before it was read")
    with work_folder(scratch) as work:
        copy = work / "arrived" / name
        if not _copied(incoming, found, copy):
            return _waiting(name, version, "was changed, renamed or removed while it was read: taken when it is whole")
        sha256 = _hash(copy)
        finished = _finished(storage, dataset, found, sha256)
        if finished is None:
            folder = work / "batch"
            folder.mkdir()
            others = [batch_folder(storage, dataset, batch) for batch in version.batches]
            judgement = judge(
                dataset,
                copy,
                raw,
                folder,
                work,
                others=others,
                champion=champion,
                without=without,
                trusted=found.trusted,
            )
            _describe(folder, judgement, dataset, name, sha256)
            if judgement.accepted:
                finished = _accept(storage, dataset, found, sha256, judgement, folder)
            else:
                finished = _refuse(storage, dataset, found, sha256, judgement, folder, copy)
    _clear(incoming, dataset, found)
    return finished


def _waiting(name: str, version: Version, why: str) -> Received:
    return Received(name=name, outcome="waiting", version=version.number, reason=f"{name}: {why}")


def _copied(incoming: Storage, found: Arrival, copy: Path) -> bool:
    """Copy what arrived; False where it is another, or gone, afterwards."""
    base = f"{found.files[0].key.split('/', 1)[0]}/{found.key}"
    try:
        for held in found.files:
            incoming.fetch(held.key, copy / held.key.removeprefix(f"{base}/") if found.folder else copy)
    except StorageError:
        if _unchanged(incoming, found):
            raise
        return False
    return _unchanged(incoming, found)


def _unchanged(incoming: Storage, found: Arrival) -> bool:
    line = found.files[0].key.split("/", 1)[0]
    now = arrival(incoming, line, found.dataset, found.name)  # pyright: ignore[reportArgumentType]
    return now is not None and now.look == found.look


def _hash(copy: Path) -> str:
    """Of a file its sha256; of a folder that of its files' names and sha256."""
    if copy.is_file():
        return sha256_of(copy)
    files = sorted(path for path in copy.rglob("*") if path.is_file())
    lines = [f"{sha256_of(path)}  {path.relative_to(copy).as_posix()}\n" for path in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _signature(found: Arrival) -> str:
    return f"{found.name}:{found.look}"


def _finished(storage: Storage, dataset: Dataset, found: Arrival, sha256: str) -> Received | None:
    """What became of this very content before, where all that was left to do is to remove it from incoming."""
    batch = find_batch(storage, dataset, sha256[:16])
    if batch is None:
        key = _quarantine(dataset, found, sha256)
        if found.trusted or not storage.exists(key):
            return None
        version, reason = newest_version(storage, dataset), str(storage.manifest(key)["facts"]["reason"])
        return Received(
            name=found.name, outcome="refused", version=version.number, reason=reason, report=f"{key}/report.html"
        )
    held = next((version for version in versions(storage, dataset) if batch.id in version.batches), None)
    if held is not None and batch.arrival != _signature(found):
        reason = f"{found.name}: the same content as {batch.name}, which version {held.number} holds: not added again"
        newest = newest_version(storage, dataset).number
        return Received(name=found.name, outcome="known", version=newest, reason=reason, batch=batch.id)
    return _listed(storage, dataset, found, batch, f"{batch.name} was accepted")


def _listed(storage: Storage, dataset: Dataset, found: Arrival, batch: Batch, reason: str) -> Received:
    version = add_version(storage, dataset, batch.id, reason)
    return Received(
        name=found.name,
        outcome="accepted",
        version=version.number,
        reason=reason,
        batch=batch.id,
        rows=batch.rows,
        labelled=batch.labelled,
        report=f"{batch_key(dataset, batch.id)}/report.html",
    )


def _describe(folder: Path, judgement: Judgement, dataset: Dataset, name: str, sha256: str) -> None:
    write_json(folder / "report.json", judgement)
    write_bytes(folder / "report.html", report(judgement, dataset, name, sha256).encode())


def _accept(
    storage: Storage, dataset: Dataset, found: Arrival, sha256: str, judgement: Judgement, folder: Path
) -> Received:
    batch = Batch(
        id=sha256[:16],
        name=found.name,
        sha256=sha256,
        line=dataset.line,
        dataset=dataset.name,
        medium=dataset.medium,
        rows=judgement.rows,
        units=judgement.units,
        span=judgement.span,
        labelled=judgement.labelled,
        facts=judgement.facts,
        received=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        arrival=_signature(found),
    )
    write_json(folder / BATCH, batch)
    with storage.new_folder(batch_key(dataset, batch.id), {"facts": batch.model_dump(mode="json")}) as kept:
        _move(folder, kept)
    return _listed(storage, dataset, found, batch, judgement.reason)


def _refuse(
    storage: Storage,
    dataset: Dataset,
    found: Arrival,
    sha256: str,
    judgement: Judgement,
    folder: Path,
    copy: Path,
) -> Received:
    key = _quarantine(dataset, found, sha256)
    facts = {"name": found.name, "sha256": sha256, "reason": judgement.reason}
    with storage.new_folder(key, {"facts": facts}) as kept:
        _move(folder, kept, ("report.html", "report.json", "expectations.html"))
        shutil.move(copy, kept / found.name)
    return Received(
        name=found.name,
        outcome="refused",
        version=newest_version(storage, dataset).number,
        reason=judgement.reason,
        rows=judgement.rows,
        report=f"{key}/report.html",
    )


def _quarantine(dataset: Dataset, found: Arrival, sha256: str) -> str:
    """Where a refused batch is kept; named after when it was written, so that doing it again finds it."""
    when = dt.datetime.fromtimestamp(0 if math.isnan(found.time) else found.time, dt.UTC)
    return f"quarantine/{dataset.line}/{dataset.name}/{when:%Y%m%dT%H%M%SZ}-{found.name}-{sha256[:8]}"


def _move(folder: Path, into: Path, names: Sequence[str] | None = None) -> None:
    for path in sorted(folder.iterdir()):
        if names is None or path.name in names:
            shutil.move(path, into / path.name)


def _clear(incoming: Storage, dataset: Dataset, found: Arrival) -> None:
    """Remove what arrived, unless it is another by now: then it is a batch of its own."""
    if not _unchanged(incoming, found):
        return
    base = f"{dataset.line}/{found.key}"
    for marker in (DONE, TRUSTED):
        incoming.remove(base + marker)
    for held in found.files:
        incoming.remove(held.key)
    if found.folder:
        incoming.remove_empty(base)
