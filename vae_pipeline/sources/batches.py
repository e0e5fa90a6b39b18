"""Batches of new data and the versions of a dataset they make up; both are written once and never changed.

An accepted batch is the folder ``batches/<line>/<dataset>/<id>/`` of the storage root: ``batch.parquet`` (canonical
rows, or the index of its files in ``files/``), ``batch.json``, and the report of its judgement. A version is the file
``versions/<line>/<dataset>/<number>.json``; version 1 is the dataset as the catalogue has it, and has no file.
"""

import datetime as dt
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError

from vae_pipeline.errors import StorageError
from vae_pipeline.records import Dataset, Medium, Record
from vae_pipeline.sources.batch_facts import BatchFacts
from vae_pipeline.sources.files import place_file
from vae_pipeline.storage import Storage

__all__ = [
    "BATCH",
    "ROWS",
    "Batch",
    "Version",
    "add_version",
    "batch_folder",
    "batch_key",
    "find_batch",
    "joined",
    "newest_version",
    "next_version",
    "read_version",
    "versions",
]

BATCH = "batch.json"
ROWS = "batch.parquet"
_LISTING = re.compile(r"\d{6,}\.json")
_MARK = 8  # characters of a batch's id that its units are named after


class Batch(Record):
    """What ``batch.json`` says of an accepted batch.

    ``sha256`` is over the bytes that arrived, ``id`` its beginning, ``span`` the first and last time of tables, and
    ``arrival`` tells the drop it came with from a later drop of the same content. ``facts`` are what its connector
    noted of it; None where no connector wrote it.
    """

    id: str
    name: str
    sha256: str
    line: str
    dataset: str
    medium: Medium
    rows: int
    units: int
    span: tuple[str, str] | None
    labelled: str
    received: str
    arrival: str
    facts: BatchFacts | None = None


class Version(Record):
    """A state of a dataset: its own data and these batches, in the order they came."""

    number: int = 1
    batches: tuple[str, ...] = Field(default=(), description="ids")
    made: str = ""
    reason: str = "the dataset as the catalogue has it"

    def first_with(self, batch: str) -> int | None:
        """The number of the version that was made for a batch, each for one; None where this one does not hold it."""
        return self.batches.index(batch) + 2 if batch in self.batches else None


def batch_key(dataset: Dataset, batch: str) -> str:
    """Where a batch is kept."""
    return f"batches/{dataset.line}/{dataset.name}/{batch}"


def batch_folder(storage: Storage, dataset: Dataset, batch: str) -> Path:
    """The local folder of an accepted batch.

    Raises:
        StorageError: it is not there.
    """
    return storage.folder(batch_key(dataset, batch))


def find_batch(storage: Storage, dataset: Dataset, batch: str) -> Batch | None:
    """What is known of a batch; None where none of that id was kept."""
    key = batch_key(dataset, batch)
    return Batch.model_validate(storage.manifest(key)["facts"]) if storage.exists(key) else None


def versions(storage: Storage, dataset: Dataset) -> list[Version]:
    """All versions of a dataset, from the first.

    Raises:
        StorageError: a listing cannot be read.
    """
    return [Version(), *(_read(storage, key) for key in _listings(storage, dataset))]


def newest_version(storage: Storage, dataset: Dataset) -> Version:
    """The version that is read.

    Raises:
        StorageError: its listing cannot be read.
    """
    listings = _listings(storage, dataset)
    return _read(storage, listings[-1]) if listings else Version()


def read_version(storage: Storage, dataset: Dataset, number: int) -> Version | None:
    """The version of this number; None where there is none.

    Raises:
        StorageError: its listing cannot be read.
    """
    if number == 1:
        return Version()
    key = _listing(dataset, number)
    return _read(storage, key) if storage.has_text(key) else None


def next_version(storage: Storage, dataset: Dataset, before: Version, batch: str, reason: str) -> Version | None:
    """The version that adds a batch to the one before; None where another came after that one first."""
    version = Version(
        number=before.number + 1,
        batches=(*before.batches, batch),
        made=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        reason=reason,
    )
    made = storage.create_text(_listing(dataset, version.number), version.model_dump_json(indent=2))
    return version if made else None


def add_version(storage: Storage, dataset: Dataset, batch: str, reason: str) -> Version:
    """The version that holds the batch, made now unless there is one.

    Of several processes that add batches at once each makes a version of its own: a number is given out once.
    """
    while True:
        newest = newest_version(storage, dataset)
        known = newest.first_with(batch)
        if known is not None:
            return _read(storage, _listing(dataset, known))
        if version := next_version(storage, dataset, newest, batch, reason):
            return version


def joined(
    dataset: Dataset, storage: Storage, version: Version, parts: dict[str, pd.DataFrame], folder: Path
) -> tuple[dict[str, pd.DataFrame], list[dict[str, str | int]]]:
    """The dataset's own parts with the batches of a version, and what ``source.json`` says of each batch.

    A unit of a batch is called ``<batch>:<unit>``, whatever it is called there: it never continues another. Where the
    dataset has a test part, the share ``split.test`` of each batch's units goes there, drawn by a hash of their names,
    at least one of two; and all that are anomalous as a whole, of recordings and images. Files go to ``folder/files``.

    Raises:
        StorageError: a batch cannot be read.
    """
    frames = {part: [frame] for part, frame in parts.items()}
    told: list[dict[str, str | int]] = []
    for identity in version.batches:
        about = find_batch(storage, dataset, identity)
        if about is None:
            kept = storage.root / batch_key(dataset, identity)
            msg = f"{kept}: is missing, and version {version.number} holds this batch; restore it"
            raise StorageError(msg)
        place = batch_folder(storage, dataset, identity)
        mark = identity[:_MARK]
        rows = pd.read_parquet(place / ROWS)
        if dataset.medium != "table":
            _place_files(rows, place, folder, mark)
        rows["unit"] = mark + ":" + rows["unit"].astype(str)
        tested = _tested(dataset, rows, has_test="test" in parts)
        for part, chosen in (("train", ~tested), ("test", tested)):
            if chosen.any():
                frames.setdefault(part, []).append(pd.DataFrame(rows[chosen]))
        told.append(
            {
                "mark": mark,
                "id": identity,
                "name": about.name,
                "received": about.received,
                "labelled": about.labelled,
            }
        )
    return {part: _one(found) for part, found in frames.items()}, told


def _folder(dataset: Dataset) -> str:
    return f"versions/{dataset.line}/{dataset.name}"


def _listing(dataset: Dataset, number: int) -> str:
    return f"{_folder(dataset)}/{number:06d}.json"


def _listings(storage: Storage, dataset: Dataset) -> list[str]:
    found = [held.key for held in storage.files(_folder(dataset))]
    return sorted(key for key in found if _LISTING.fullmatch(Path(key).name))


def _read(storage: Storage, key: str) -> Version:
    try:
        return Version.model_validate_json(storage.read_text(key))
    except ValidationError as error:
        msg = f"{storage.root / key}: no listing of a version; restore the file from a copy"
        raise StorageError(msg) from error


def _one(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    if len(frames) == 1:
        return frames[0]
    columns = list(dict.fromkeys(name for frame in frames for name in frame))
    # an empty column beside a filled one would decide the type of both
    some = [frame.dropna(axis="columns", how="all") for frame in frames]
    whole = pd.concat(some, ignore_index=True).reindex(columns=columns)
    nullable = {
        name: frame[name].dtype
        for frame in reversed(frames)
        for name in frame
        if pd.api.types.is_extension_array_dtype(frame[name].dtype)
    }
    return whole.astype(nullable)


def _place_files(rows: pd.DataFrame, place: Path, folder: Path, mark: str) -> None:
    for kind in ("file", "mask"):
        if kind not in rows:
            continue
        moved: list[str | None] = []
        for name in rows[kind].tolist():
            target = f"files/{mark}/{name.removeprefix('files/')}" if isinstance(name, str) else None
            if target is not None and (place / name).is_file():  # what could not be read was not kept
                place_file(place / name, folder / target, linked=True)
            moved.append(target)
        rows[kind] = pd.Series(moved, index=rows.index, dtype=object)


def _tested(dataset: Dataset, rows: pd.DataFrame, *, has_test: bool) -> pd.Series:
    """Which rows go to the test part."""
    unit = pd.Series(rows["unit"])
    anomalous = set()
    if dataset.medium == "image" or (dataset.medium == "sound" and has_test):
        anomalous = set(unit[(rows["label"] == 1).fillna(False)])
    chosen = _drawn(sorted(set(unit) - anomalous), dataset) if has_test else set()
    return unit.isin(chosen | anomalous)


def _drawn(units: Sequence[str], dataset: Dataset) -> set[str]:
    """The units whose hashes, seeded with ``split.seed``, are lowest: the share ``split.test``."""

    def place(unit: str) -> float:
        return int(hashlib.sha256(f"{dataset.split.seed}:{unit}".encode()).hexdigest()[:12], 16) / 16**12

    if len(units) < 2:
        return {unit for unit in units if place(unit) < dataset.split.test}
    count = int(np.clip(round(dataset.split.test * len(units)), 1, len(units) - 1))
    return set(sorted(units, key=place)[:count])
