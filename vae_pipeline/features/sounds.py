"""Recordings to a features folder: log-mel frames are its rows, clips its units."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from vae_pipeline.errors import DataError
from vae_pipeline.features.clips import read_clip
from vae_pipeline.features.feature_set import FOLDS, FeatureSet
from vae_pipeline.features.log_mel import band_frequencies, log_mel
from vae_pipeline.features.scaling import RegimeScaler
from vae_pipeline.features.splits import Segment, added_later, batch_marks, split_added
from vae_pipeline.features.window_facts import window_facts
from vae_pipeline.records import Dataset, Part, Sound
from vae_pipeline.storage import write_json

__all__ = ["band_names", "build_sounds", "folds_of", "split_clips"]

FEW_CLIPS = 50
"""Normal clips below which a single test part says little, and each is left out in its turn."""

FEWEST = 3
"""Normal clips without which there is no spread between clips to calibrate by."""

MOST_FOLDS = 20
"""Few clips are left out one by one, up to so many."""


@dataclass(frozen=True)
class Clip:
    """A recording of the index: where it is, whether it is abnormal (-1 unknown), whether it came as a test clip.

    ``added`` says whether it came with a batch.
    """

    unit: str
    file: Path
    label: int
    for_test: bool
    added: bool = False


def build_sounds(dataset: Dataset, raw: Path, folder: Path) -> dict[str, Any]:
    """Write the features of recordings into ``folder`` and give facts about them.

    The files are those of a table (see `build_tables`): a row is a frame, a channel a mel band, a unit a clip. Where
    normal clips are few, ``folds/<number>`` holds the same for each leave-out fold, scaled and split on its own.

    Raises:
        DataError: a clip cannot be read, or there are too few; the message names the file or the setting.
    """
    clips = _clips(raw)
    with tempfile.TemporaryFile(dir=folder) as scratch:
        levels, counts = _levels(clips, dataset.sound, scratch)
        folds = folds_of(clips, dataset)
        for number, left_out in enumerate(folds):
            fold = folder / FOLDS / f"{number:02d}"
            fold.mkdir(parents=True)
            parts = split_clips(clips, dataset, left_out)
            _write(dataset, clips, parts, levels, counts, fold)
        main = split_clips(clips, dataset, () if folds else None)
        facts = _write(dataset, clips, main, levels, counts, folder)
    return facts | {"folds": len(folds)}


def folds_of(clips: Sequence[Clip], dataset: Dataset) -> list[tuple[str, ...]]:
    """Names of the normal clips that each fold leaves out; no folds where there are enough clips or a test part."""
    normal = [clip.unit for clip in clips if clip.label != 1]
    anomalous = len(clips) - len(normal)
    stated = dataset.split.folds
    if any(clip.for_test for clip in clips) or not anomalous:
        return []
    wanted = (MOST_FOLDS if len(normal) < FEW_CLIPS else 0) if stated is None else stated
    wanted = min(wanted, len(normal))
    if wanted < 2:
        return []
    shuffled = np.random.default_rng(dataset.split.seed).permutation(sorted(normal))
    return [tuple(sorted(str(name) for name in shuffled[number::wanted])) for number in range(wanted)]


def split_clips(clips: Sequence[Clip], dataset: Dataset, left_out: tuple[str, ...] | None) -> list[Part]:
    """The part of each clip.

    Abnormal clips are tested on. Of the normal ones those ``left_out`` are as well; where that is None and no clip came
    as a test clip, as many as there are abnormal ones, at most half and three less than all, or the share
    ``split.test`` where none is abnormal (the protocol of MIMII: H. Purohit et al., DCASE 2019). The rest fits and
    calibrates.

    Raises:
        DataError: fewer than three normal clips are left to fit and calibrate on.
    """
    given = any(clip.for_test and not clip.added for clip in clips)
    parts: list[Part] = ["test" if clip.for_test or clip.label == 1 else "fit" for clip in clips]
    normal = [number for number, part in enumerate(parts) if part == "fit" and not clips[number].added]
    added = [number for number, part in enumerate(parts) if part == "fit" and clips[number].added]
    shuffled = [normal[number] for number in np.random.default_rng(dataset.split.seed).permutation(len(normal))]
    if left_out is not None:
        tested = [number for number in shuffled if clips[number].unit in left_out]
    elif given:
        tested = []
    else:
        anomalous = sum(clip.label == 1 and not clip.added for clip in clips)
        wanted = anomalous or max(1, round(dataset.split.test * len(normal)))
        tested = shuffled[: max(0, min(wanted, len(normal) // 2, len(normal) - FEWEST))]
    for number in tested:
        parts[number] = "test"
    rest = [number for number in shuffled if parts[number] == "fit"]
    if len(rest) < FEWEST:
        msg = (
            f"{dataset.name}: {len(rest)} normal clips are left to fit and calibrate on, {FEWEST} are needed; add some"
        )
        raise DataError(msg)
    calibrate = min(max(1, round(dataset.split.calibrate * len(rest))), len(rest) - 1)
    for number in rest[:calibrate]:
        parts[number] = "calibrate"
    later = split_added([clips[number].unit for number in added], dataset.split, given or left_out is not None)
    for number in added:
        parts[number] = "test" if clips[number].unit in (left_out or ()) else later[clips[number].unit]
    return parts


def band_names(sound: Sound) -> tuple[str, ...]:
    """Names of the channels: the centre of each mel band."""
    frequencies = band_frequencies(sound.rate, sound.bands)
    return tuple(f"mel_{number:03d}_{frequency:.0f}_hz" for number, frequency in enumerate(frequencies))


def _clips(raw: Path) -> list[Clip]:
    found: list[Clip] = []
    marks = batch_marks(raw)
    for part in ("train", "test"):
        file = raw / f"{part}.parquet"
        if not file.exists():
            continue
        index = pq.read_table(file, columns=["unit", "file", "label"]).to_pydict()
        for unit, name, label in zip(index["unit"], index["file"], index["label"], strict=True):
            later = added_later(str(unit), marks)
            found.append(Clip(str(unit), raw / str(name), -1 if label is None else int(label), part == "test", later))
    if not found:
        msg = f"{raw}: holds no index of recordings; materialize the raw data again"
        raise DataError(msg)
    return found


def _levels(clips: Sequence[Clip], sound: Sound, scratch: Any) -> tuple[np.ndarray, list[int]]:
    """Log-mel frames of all clips one after the other, mapped from ``scratch``, (frames, bands), and their counts."""
    counts = []
    for clip in clips:
        frames = log_mel(read_clip(clip.file, sound), sound)
        scratch.write(frames.data)
        counts.append(len(frames))
    scratch.flush()
    return np.memmap(scratch, dtype=np.float32, mode="r", shape=(sum(counts), sound.bands)), counts


def _write(
    dataset: Dataset, clips: Sequence[Clip], parts: Sequence[Part], levels: np.ndarray, counts: list[int], folder: Path
) -> dict[str, Any]:
    stops = np.cumsum(counts)
    starts = stops - counts
    segments = [
        Segment(clip.unit, part, int(start), int(stop), int(start))
        for clip, part, start, stop in zip(clips, parts, starts, stops, strict=True)
    ]
    fitted = np.repeat([part == "fit" for part in parts], counts)
    scaler = RegimeScaler.fit(levels[fitted], np.empty((int(fitted.sum()), 0)), 1)
    rows = np.lib.format.open_memmap(folder / "rows.npy", mode="w+", dtype="<f4", shape=levels.shape)
    for segment in segments:
        block = slice(segment.start, segment.stop)
        rows[block] = scaler.transform(levels[block], np.empty((segment.stop - segment.start, 0)))
    rows.flush()
    frame = np.arange(len(levels)) - np.repeat(starts, counts)
    np.savez(
        folder / "rows.npz",
        allow_pickle=False,
        unit=np.repeat(np.arange(len(clips), dtype=np.int32), counts),
        time=frame * dataset.sound.hop / dataset.sound.rate,
        label=np.repeat(np.array([clip.label for clip in clips], dtype=np.int8), counts),
        remaining_life=np.full(len(levels), np.nan, dtype=np.float32),
        healthy=np.repeat([part != "test" for part in parts], counts),
        file_row=frame.astype(np.int64),
    )
    np.savez(folder / "scaling.npz", allow_pickle=False, **scaler.to_arrays())
    write_json(
        folder / "features.json",
        {
            "sensors": list(band_names(dataset.sound)),
            "settings": [],
            "units": [segment.to_json() for segment in segments],
            "window": {"length": dataset.window.length, "stride": dataset.window.stride},
        },
    )
    longest = int(np.argmax(counts))
    facts = window_facts(dataset, FeatureSet.open(folder), (clips[longest].unit, counts[longest]))
    short = [clip.unit for clip, count in zip(clips, counts, strict=True) if count < dataset.window.length]
    return facts | {"units": len(clips), "short_units": short, "constant_sensors": []}
