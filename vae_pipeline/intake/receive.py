"""One batch from incoming into the dataset's next version, or into quarantine.

Whatever moment it is stopped at, a batch is in incoming, or accepted, or in quarantine, and doing it again finishes it:
the batch's folder appears whole, then the version that lists it, then what arrived is removed. Before a folder is
removed a marker says what of it, so that the rest is never taken for a batch of its own. A version is made of the one
that the batch was judged beside, or the batch is judged again: two runs do not accept the same rows.
"""

import datetime as dt
import hashlib
import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vae_pipeline.errors import StorageError
from vae_pipeline.intake.arrive import DONE, TAKEN, TRUSTED, Arrival, arrival
from vae_pipeline.intake.judge import Judgement, judge
from vae_pipeline.intake.report import report
from vae_pipeline.records import Dataset, Record
from vae_pipeline.sources.batches import (
    BATCH,
    Batch,
    Version,
    batch_folder,
    batch_key,
    find_batch,
    newest_version,
    next_version,
)
from vae_pipeline.sources.download import sha256_of
from vae_pipeline.storage import Storage, fingerprint, work_folder, write_bytes, write_json

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
    if found.taken:
        return _cleared(incoming, dataset, found)
    with work_folder(scratch) as work:
        copy = work / "arrived" / name
        if not _copied(incoming, found, copy):
            return _waiting(name, version, "was changed, renamed or removed while it was read: taken when it is whole")
        sha256 = _hash(copy)
        finished = _finished(storage, dataset, found, sha256)
        while finished is None:
            version = newest_version(storage, dataset)
            place = work / f"beside-{version.number}"
            folder = place / "batch"
            folder.mkdir(parents=True)
            others = [batch_folder(storage, dataset, batch) for batch in version.batches]
            judgement = judge(
                dataset,
                copy,
                raw,
                folder,
                place,
                others=others,
                champion=champion,
                without=without,
                trusted=found.trusted,
            )
            _describe(folder, judgement, dataset, name, sha256)
            if judgement.accepted:
                finished = _accept(storage, dataset, found, sha256, judgement, folder, version)
            else:
                finished = _refuse(storage, dataset, found, sha256, judgement, folder, copy)
    _clear(incoming, dataset, found, finished)
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
    """What became of this very content where a version holds it: all that is left to do is to remove it from incoming.

    What was kept without a version, or refused, is judged again: dataset and catalogue may be others by now.
    """
    newest, batch = newest_version(storage, dataset), find_batch(storage, dataset, sha256[:16])
    held = newest.first_with(sha256[:16])
    if batch is None or held is None:
        return None
    if batch.arrival == _signature(found):
        return _taken(dataset, found, batch, held, f"{batch.name} was accepted")
    reason = f"{found.name}: the same content as {batch.name}, which version {held} holds: not added again"
    return Received(name=found.name, outcome="known", version=newest.number, reason=reason, batch=batch.id)


def _taken(dataset: Dataset, found: Arrival, batch: Batch, version: int, reason: str) -> Received:
    return Received(
        name=found.name,
        outcome="accepted",
        version=version,
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
    storage: Storage,
    dataset: Dataset,
    found: Arrival,
    sha256: str,
    judgement: Judgement,
    folder: Path,
    before: Version,
) -> Received | None:
    """Into the version after the one it was judged beside; None where another batch came first."""
    if newest_version(storage, dataset).number != before.number:  # spares what would be kept for nothing
        return None
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
    version = next_version(storage, dataset, before, batch.id, judgement.reason)
    return version and _taken(dataset, found, batch, version.number, judgement.reason)


def _refuse(
    storage: Storage,
    dataset: Dataset,
    found: Arrival,
    sha256: str,
    judgement: Judgement,
    folder: Path,
    copy: Path,
) -> Received:
    key = _quarantine(dataset, found, sha256, judgement.reason)
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


def _quarantine(dataset: Dataset, found: Arrival, sha256: str, reason: str) -> str:
    """Where a refused batch is kept; the same content refused for the same reason is there once."""
    when = dt.datetime.fromtimestamp(0 if math.isnan(found.time) else found.time, dt.UTC)
    return (
        f"quarantine/{dataset.line}/{dataset.name}/{when:%Y%m%dT%H%M%SZ}-{found.name}-{fingerprint(sha256, reason)[:8]}"
    )


def _move(folder: Path, into: Path, names: Sequence[str] | None = None) -> None:
    for path in sorted(folder.iterdir()):
        if names is None or path.name in names:
            shutil.move(path, into / path.name)


def _clear(incoming: Storage, dataset: Dataset, found: Arrival, finished: Received) -> None:
    """Remove what arrived, unless it is another by now: then it is a batch of its own, and the markers are not its."""
    base = f"{dataset.line}/{found.key}"
    if not _unchanged(incoming, found):
        _remove_markers(incoming, base)
        return
    if not found.folder:
        _remove_markers(incoming, base)
        incoming.remove(base)
        return
    files = {held.key: [held.size, held.changed] for held in found.files}
    incoming.write_text(base + TAKEN, json.dumps({"files": files, "finished": finished.model_dump(mode="json")}))
    _cleared(incoming, dataset, found)


def _cleared(incoming: Storage, dataset: Dataset, found: Arrival) -> Received:
    """Remove what the marker of a taken folder names and is still as it was, and the marker last; gives its outcome."""
    base = f"{dataset.line}/{found.key}"
    try:
        marker = json.loads(incoming.read_text(base + TAKEN))
        files, finished = dict(marker["files"]), Received.model_validate(marker["finished"])
    except (ValueError, TypeError, KeyError) as error:
        msg = f"{incoming.root / base}{TAKEN}: is not what intake writes beside a folder it removes; remove this file"
        raise StorageError(msg) from error
    for held in found.files:
        if files.get(held.key) == [held.size, held.changed]:
            incoming.remove(held.key)
    incoming.remove_empty(base)
    _remove_markers(incoming, base)
    incoming.remove(base + TAKEN)
    return finished


def _remove_markers(incoming: Storage, base: str) -> None:
    for marker in (DONE, TRUSTED):
        incoming.remove(base + marker)
