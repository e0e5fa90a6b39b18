"""Read a folder of wav recordings, MIMII's or a user's own, into an index of one row a clip.

A clip below a folder ``normal`` is normal, below ``abnormal`` abnormal; the folders above them name the machine, and a
``train`` or ``test`` among those the part. ``fan/id_00/normal/00000000.wav`` is a clip of machine ``id_00``.
"""

import hashlib
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from vae_pipeline.errors import DataError
from vae_pipeline.records import Dataset
from vae_pipeline.sources.files import place_file
from vae_pipeline.sources.wav import blocks, open_wav, require_channel

__all__ = ["FILES", "INDEX", "Recording", "find_recordings", "read_recordings"]

FILES = "files"
"""The folder beside the index that holds the clips."""

INDEX: dict[str, str] = {
    "unit": "object",
    "machine": "object",
    "file": "object",
    "label": "Int8",
    "rate": "Int64",
    "channels": "Int64",
    "samples": "Int64",
    "seconds": "float64",
    "format": "object",
    "subtype": "object",
    "peak": "float64",
    "level_db": "float64",
    "clipped_share": "float64",
    "silent": "boolean",
    "broken_values": "Int64",
    "sha256": "object",
    "problem": "object",
}
"""Columns of an index and their types."""

CLIPPED_FROM = 0.999  # of full scale
SILENT_BELOW = 1e-4  # of full scale
LOWEST_LEVEL = -200.0  # dB, of pure zeros too

_CLASSES = {"normal": 0, "abnormal": 1}
_PARTS = ("train", "test")
_SOUND = ("good", "healthy", "ok")
_FAULTY = ("anomalies", "anomalous", "anomaly", "bad", "broken", "damaged", "defect", "defective", "defects", "failed")
_FAULTY += ("failure", "failures", "fault", "faults", "faulty", "ng", "nok", "unhealthy")


@dataclass(frozen=True)
class Recording:
    """A clip that was found.

    Attributes:
        path: where it lies.
        unit: its path below the folders that all clips share, without the suffix: ``id_00/normal/00000000``.
        machine: the folders above its class, without those that all clips share: ``id_00``; None where there are none.
        part: ``train`` or ``test``.
        label: 1 abnormal, 0 normal.
    """

    path: Path
    unit: str
    machine: str | None
    part: Literal["train", "test"]
    label: int


@dataclass(frozen=True)
class _Place:
    """Where a clip lies: the folders above its class, with and without the part among them."""

    path: Path
    head: tuple[str, ...]
    tail: tuple[str, ...]
    part: str | None
    label: int | None

    @property
    def machine(self) -> tuple[str, ...]:
        return tuple(folder for folder in self.head if folder.lower() not in _PARTS)


def find_recordings(root: Path, *, bare: bool = True) -> list[Recording]:
    """All clips below ``root``, sorted by unit; hidden files and folders are passed over.

    Without folders of classes, or right below ``train``, clips count as normal where ``bare`` allows it.

    Raises:
        DataError: there are no clips, or no normal ones to learn from; a folder ``normal`` is empty; a clip lies
            outside of the classes or parts where others lie in them; classes go by other names, such as ``good`` and
            ``defect``; two clips have the same name.
    """
    found = [_place(root, path) for path in _walk(root)]
    if not found:
        msg = f"{root}: holds no wav file; correct the folder or 'members' in the catalogue, or put recordings there"
        raise DataError(msg)
    _check_classes(found, bare=bare)
    _check_parts(root, found)
    shared = _shared([place.head for place in found])
    shared_machine = _shared([place.machine for place in found])
    recordings = []
    for place in found:
        folders = (*place.head[shared:], *place.tail)
        recordings.append(
            Recording(
                path=place.path,
                unit="/".join((*folders, place.path.stem)),
                machine="/".join(place.machine[shared_machine:]) or None,
                part="test" if place.part == "test" else "train",
                label=place.label or 0,
            )
        )
    if not any(recording.label == 0 for recording in recordings if recording.part == "train"):
        msg = f"{root}: holds no normal clip to learn from; put some into a folder 'normal'"
        raise DataError(msg)
    recordings.sort(key=lambda recording: recording.unit)
    _check_names(recordings)
    return recordings


def read_recordings(dataset: Dataset, root: Path, folder: Path, *, linked: bool) -> dict[str, pd.DataFrame]:
    """The index of the part ``train``, and of ``test`` where there is such a folder; clips go to ``folder/files``.

    One row a clip, sorted by unit; the columns are those of ``INDEX``. ``file`` is relative to ``folder``; ``samples``
    are those of one channel. Of the channel in use: ``peak`` and ``clipped_share`` (samples at 0.999 or beyond) on a
    full scale of 1, ``level_db`` (root mean square, -200 at least), ``silent`` (peak below 1e-4). ``broken_values``
    counts over all channels what is not finite; the other figures leave it out. ``problem`` is the sentence that says
    why a file cannot be read, and cells that it leaves unknown are empty.

    Args:
        dataset: kind, name and ``sound.channel``.
        root: what holds the clips, at any depth.
        folder: where they are put.
        linked: whether they may be links to the files below ``root``, as nobody changes those.

    Raises:
        DataError: see `find_recordings`.
        StorageError: the folder cannot be written.
    """
    recordings = find_recordings(root, bare=dataset.kind == "recordings")
    rows: dict[str, list[dict[str, Any]]] = {}
    for recording in recordings:
        file = f"{FILES}/{recording.unit}{recording.path.suffix}"
        row = {
            "unit": recording.unit,
            "machine": recording.machine or dataset.name,
            "file": file,
            "label": recording.label,
            **_described(recording, dataset.sound.channel),
        }
        if "sha256" in row:
            place_file(recording.path, folder / file, linked=linked)
        rows.setdefault(recording.part, []).append(row)
    return {part: _table(rows[part]) for part in _PARTS if part in rows}


def _walk(root: Path) -> list[Path]:
    """All wav files below ``root``; links to folders are followed unless they lead back up."""

    def refuse(error: OSError) -> None:
        msg = f"{error.filename}: cannot be read ({error.strerror}); check its permissions"
        raise DataError(msg) from error

    found, normal = [], []
    for text, folders, files in os.walk(root, followlinks=True, onerror=refuse if root.is_dir() else None):
        here, real = Path(text), Path(text).resolve()
        folders[:] = [
            name
            for name in folders
            if not name.startswith((".", "__MACOSX")) and not real.is_relative_to((real / name).resolve())
        ]
        normal += [here / name for name in folders if name.lower() == "normal"]
        found += [here / name for name in files if name.lower().endswith(".wav") and not name.startswith(".")]
    for folder in normal:
        if not any(path.is_relative_to(folder) for path in found):
            msg = f"{folder}: holds no wav file; put the normal recordings there, or remove the folder"
            raise DataError(msg)
    return found


def _place(root: Path, path: Path) -> _Place:
    folders = path.relative_to(root).parts[:-1]
    classes = [index for index, folder in enumerate(folders) if folder.lower() in _CLASSES]
    parts = [folder.lower() for folder in folders if folder.lower() in _PARTS]
    # a clip outside of a class lies in the folder that names its machine, if that is more than the part
    cut = classes[-1] if classes else len(folders)
    return _Place(
        path=path,
        head=folders[:cut],
        tail=folders[cut:],
        part=parts[0] if parts else None,
        label=_CLASSES[folders[classes[-1]].lower()] if classes else None,
    )


def _check_classes(found: list[_Place], *, bare: bool) -> None:
    outside = [place for place in found if place.label is None]
    if not outside:
        return
    first = outside[0].path
    if not bare:
        msg = f"{first}: lies in no folder 'normal' or 'abnormal', as recordings of this kind do; check the folder"
        raise DataError(msg)
    if any(place.part == "test" for place in outside):
        first = next(place.path for place in outside if place.part == "test")
        msg = f"{first}: a clip for the test lies in no class; put it into 'test/normal' or 'test/abnormal'"
        raise DataError(msg)
    if any(place.label is not None and place.part == clip.part for place in found for clip in outside[:1]):
        msg = f"{first}: lies outside of the folders 'normal' and 'abnormal'; move it into one of them or away"
        raise DataError(msg)
    _check_names_of_classes(outside)


def _check_names_of_classes(outside: list[_Place]) -> None:
    """Refuse clips without a class whose folders tell faulty ones from others all the same: all would be normal."""
    faulty = [place for place in outside if _below(place, _FAULTY)]
    sound = [place for place in outside if _below(place, _SOUND)]
    if faulty or 0 < len(sound) < len(outside):
        first = min(place.path for place in faulty or sound)
        msg = f"{first}: the folders tell clips apart, but none is called 'normal' or 'abnormal'; call them so"
        raise DataError(msg)


def _below(place: _Place, names: tuple[str, ...]) -> bool:
    return any(folder.lower() in names for folder in place.head)


def _check_parts(root: Path, found: list[_Place]) -> None:
    parts = {place.part for place in found}
    if parts <= {"train", "test"} and "train" in parts:
        return
    if parts == {None}:
        return
    if None in parts:
        stray = next(place.path for place in found if place.part is None)
        msg = f"{stray}: lies neither in 'train' nor in 'test', as other clips do; move it into one of them or away"
        raise DataError(msg)
    msg = f"{root}: holds clips in 'test' alone; put normal ones into 'train', or name the folder otherwise"
    raise DataError(msg)


def _shared(heads: list[tuple[str, ...]]) -> int:
    """How many leading folders all clips share, of which the last one is kept: it names the machine."""
    first, last, shortest = min(heads), max(heads), min(len(head) for head in heads)
    common = next((index for index, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), shortest)
    return max(0, min(common, shortest - 1))


def _check_names(recordings: list[Recording]) -> None:
    twice = [unit for unit, count in Counter(recording.unit for recording in recordings).items() if count > 1]
    if twice:
        one, other = [recording.path for recording in recordings if recording.unit == twice[0]][:2]
        msg = f"{one}: {other} has the same name but for the suffix; rename one of them"
        raise DataError(msg)
    for recording in recordings:
        try:
            recording.unit.encode()
        except UnicodeEncodeError as error:
            msg = f"{str(recording.path)!r}: the name is no valid UTF-8; rename the file or its folder"
            raise DataError(msg) from error


def _described(recording: Recording, channel: int) -> dict[str, Any]:
    """What an index says of a file's content, as far as it can be read."""
    path = recording.path
    name = recording.unit + path.suffix
    facts: dict[str, Any] = {}
    try:
        with path.open("rb") as file:
            facts["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            with open_wav(file, name) as wav:
                facts |= {
                    "rate": wav.samplerate,
                    "channels": wav.channels,
                    "samples": wav.frames,
                    "seconds": wav.frames / wav.samplerate,
                    "format": wav.format,
                    "subtype": wav.subtype,
                }
                facts |= _measured(blocks(wav), min(channel, wav.channels - 1))
                require_channel(wav, channel, name)
    except DataError as error:
        facts["problem"] = str(error)
    except OSError as error:
        facts["problem"] = f"{name}: cannot be read ({error.strerror or error}); check its permissions"
    return facts


def _measured(parts: Any, channel: int) -> dict[str, Any]:
    """Figures of a clip's samples, given in arrays (samples, channels)."""
    samples = clipped = broken = 0
    peak = energy = 0.0
    for block in parts:
        broken += int(block.size - np.isfinite(block).sum())
        used = block[:, channel]
        size = np.abs(used[np.isfinite(used)]).astype(np.float64)
        samples += size.size
        clipped += int((size >= CLIPPED_FROM).sum())
        peak = max(peak, float(size.max(initial=0.0)))
        energy += float(size @ size)
    power = energy / max(samples, 1)
    return {
        "peak": peak,
        "level_db": max(LOWEST_LEVEL, 10.0 * float(np.log10(power))) if power > 0 else LOWEST_LEVEL,
        "clipped_share": clipped / max(samples, 1),
        "silent": peak < SILENT_BELOW,
        "broken_values": broken,
    }


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series([row.get(name) for row in rows], dtype=kind) for name, kind in INDEX.items()})  # pyright: ignore[reportArgumentType]
