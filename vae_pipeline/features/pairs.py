"""Two lines' features to a features folder of pairs: drawn by a stated protocol, or joined by a key."""

import os
import re
import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pyarrow.parquet as pq

from vae_pipeline.errors import DataError
from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline.features.image_set import ImageSet
from vae_pipeline.features.pair_set import GROUPS
from vae_pipeline.features.windows import Windows
from vae_pipeline.records import Dataset, Pairs, Part
from vae_pipeline.storage import write_json

__all__ = ["LineFolders", "build_pairs", "link"]

PARTS: tuple[Part, ...] = ("fit", "calibrate", "test")
FEWEST = {"fit": 2, "calibrate": 20, "test": 1}
"""Pairs of each part that a key has to give."""
_STAMP = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d")
_NETWORK = ("network.json", "weights.npz", "training.json")

Drawn = dict[str, tuple[np.ndarray, np.ndarray]]
"""First rows of windows and places of images of each part."""


class LineFolders(NamedTuple):
    """What a line has made of its dataset: local folders."""

    dataset: Dataset
    raw: Path
    features: Path
    trained: Path
    calibrated: Path


def build_pairs(dataset: Dataset, lines: Mapping[str, LineFolders], folder: Path) -> dict[str, Any]:
    """Write ``pairs.npz``, ``pairs.json`` and what of the lines is needed into ``folder``; gives facts about it.

    Args:
        dataset: its ``pairs`` say what belongs together, its ``split.seed`` draws.
        lines: of the windows and of the images, by ``windows`` and ``images``.
        folder: gets ``windows/`` and ``images/`` (features), ``networks/`` and ``detectors/``; links where it can.

    Raises:
        DataError: there is no key, nothing shares one, or a part has too few pairs; the message names the setting.
    """
    stated = cast("Pairs", dataset.pairs)
    if lines["windows"].dataset.medium != "table":
        msg = f"{dataset.name}: pairs.timeseries {stated.timeseries} holds recordings; pairs need a table"
        raise DataError(msg)
    windows, images = FeatureSet.open(lines["windows"].features), ImageSet.open(lines["images"].features)
    drawn = (
        _drawn(dataset, stated, windows, images)
        if stated.key is None
        else _joined(dataset, stated.key, windows, images, lines["windows"])
    )
    for name, line in lines.items():
        _linked(line.features, folder / name)
        _linked(line.calibrated / "detector", folder / "detectors" / name)
        (folder / "networks" / name).mkdir(parents=True)
        for file in _NETWORK:
            link(line.trained / file, folder / "networks" / name / file)
    arrays = {
        f"{part}.{name}": values
        for part, both in drawn.items()
        for name, values in zip(("start", "image"), both, strict=True)
    }
    np.savez(folder / "pairs.npz", **arrays)  # type: ignore[arg-type]
    datasets = {name: line.dataset.model_dump(mode="json") for name, line in lines.items()}
    write_json(folder / "pairs.json", {"datasets": datasets, "keyed": stated.key is not None})
    return {
        **{f"{part}_pairs": len(starts) for part, (starts, _) in drawn.items()},
        **{f"test_{name}": count for name, count in _groups(windows, images, *drawn["test"]).items()},
        "protocol": f"joined by {stated.key}" if stated.key else f"drawn with seed {dataset.split.seed}",
    }


def _groups(windows: FeatureSet, images: ImageSet, starts: np.ndarray, places: np.ndarray) -> dict[str, int]:
    of_window = windows.labels(Windows(windows.rows, starts, windows.length)) == 1
    found = of_window + 2 * (images.label[places] == 1)
    return {name: int((found == number).sum()) for number, name in enumerate(GROUPS)}


def _drawn(dataset: Dataset, stated: Pairs, windows: FeatureSet, images: ImageSet) -> Drawn:
    """Normal with normal to fit and calibrate; to test as many of each group.

    Windows and images are drawn within their own part and with replacement, so that no unit and no image of one part
    stands in another.
    """
    random = np.random.default_rng(dataset.split.seed)
    fit = windows.windows("fit", healthy_only=True)
    drawn: Drawn = {"fit": _pair(random, stated.fit, fit.starts, images.index("fit"))}
    counts: dict[Part, int] = {"calibrate": stated.calibrate, "test": stated.group}
    for part, count in counts.items():
        cut, places = windows.windows(part), images.index(part)
        labels, shown = windows.labels(cut), images.label[places]
        some = []
        for number in range(len(GROUPS) if part == "test" else 1):
            starts = cut.starts[labels == 1] if number % 2 else cut.starts[labels != 1]
            if part == "test" and not number % 2:
                starts = cut.starts[labels == 0] if (labels == 0).any() else starts
            chosen = places[shown == 1] if number >= 2 else places[shown != 1]
            if len(starts) and len(chosen):
                some.append(_pair(random, count, starts, chosen))
        if not some:
            msg = f"{dataset.name}: the part {part!r} has no normal window or no normal image to pair"
            raise DataError(msg)
        drawn[part] = (np.concatenate([one for one, _ in some]), np.concatenate([other for _, other in some]))
    return drawn


def _pair(
    random: np.random.Generator, count: int, starts: np.ndarray, places: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    return random.choice(starts, count), random.choice(places, count)


def _joined(dataset: Dataset, key: str, windows: FeatureSet, images: ImageSet, line: LineFolders) -> Drawn:
    """Every window whose last row names an image, where both are of the same part; normal ones alone to fit on."""
    names, timed = _key_of_rows(dataset, key, windows, line)
    place_of = _places(dataset, key, names, images, timed=timed)
    found: Drawn = {}
    shared = dropped = 0
    for part in PARTS:
        cut = windows.windows(part, healthy_only=part == "fit")
        places = np.array([place_of.get(name, -1) for name in names[cut.ends]], dtype=np.int64)
        known = places >= 0
        same = known & (images.part[places] == part)
        shared += int(known.sum())
        dropped += int((known & ~same).sum())
        found[part] = (cut.starts[same], places[same])
    if not shared:
        some, others = (", ".join(sorted(known)[:3]) for known in ({*names.tolist()} - {""}, place_of))
        msg = (
            f"{dataset.name}: no value of {key!r} ({some}, …) is the name of an image ({others}, …); name images after "
            "the key, or state another pairs.key"
        )
        raise DataError(msg)
    for part, (starts, _) in found.items():
        if len(starts) < FEWEST[part]:
            msg = (
                f"{dataset.name}: {len(starts)} pairs of the part {part!r}, {FEWEST[part]} are needed; {dropped} of "
                f"{shared} pairs have their window and their image in different parts: give both datasets a test part, "
                "or change their split"
            )
            raise DataError(msg)
    return found


def _places(dataset: Dataset, key: str, names: np.ndarray, images: ImageSet, *, timed: bool) -> dict[str, int]:
    """Places of images by what they are called.

    Raises:
        DataError: a row names what two images are called.
    """
    named, place_of = set(names.tolist()), dict[str, int]()
    for place, name in enumerate(images.names):
        called = _digits(Path(name).stem) if timed else Path(name).stem
        if called in place_of and called in named:
            other = images.names[place_of[called]]
            msg = (
                f"{dataset.name}: {other} and {name} are both called {called!r}, which {key!r} names; give every image "
                "a name of its own, whatever its folder"
            )
            raise DataError(msg)
        place_of[called] = place
    return place_of


def _key_of_rows(dataset: Dataset, key: str, windows: FeatureSet, line: LineFolders) -> tuple[np.ndarray, bool]:
    """The key of every row of the features, as text, shape (n_rows,), and whether it is a timestamp."""
    columns = line.dataset.columns
    name = {columns.unit: "unit", columns.time: "time", columns.key: "key"}.get(key, key)
    timed = False
    names = np.full(len(windows.file_row), "", dtype=object)
    tested = np.zeros(len(names), dtype=bool)
    for segment in windows.segments:
        tested[segment.start : segment.stop] = segment.part == "test"
    files = {part: line.raw / f"{part}.parquet" for part in ("train", "test")}
    for part, file in files.items():
        if not file.exists():
            continue
        known = pq.read_schema(file).names
        if name not in known:
            msg = (
                f"{dataset.name}: pairs.key {key!r} is no column of {line.dataset.name}; it has {', '.join(known)}. "
                f"State columns.key of {line.dataset.name}: its files' column {key!r} is then kept as text"
            )
            raise DataError(msg)
        column = pq.read_table(file, columns=[name])[name].to_pylist()
        timed = timed or any(isinstance(value, datetime) for value in column)
        values = np.array([_text(value) for value in column], dtype=object)
        mine = (tested if part == "test" else ~tested) if files["test"].exists() else np.ones(len(names), dtype=bool)
        mine &= windows.file_row < len(values)
        names[mine] = values[windows.file_row[mine]]
    given = names != ""
    if given.any() and all(_STAMP.match(value) for value in names[given]):
        return np.array([_digits(value) for value in names], dtype=object), True
    return names, timed


def _text(value: Any) -> str:
    """A key as an image would be named after it: whole numbers without a point, of times the digits to the second."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.strftime("%Y%m%d%H%M%S")
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _digits(name: str) -> str:
    """The digits of a timestamp to the second, however it is written: 2026-01-31_12-00-05 as 20260131120005."""
    return re.sub(r"\D", "", name)[:14]


def _linked(source: Path, target: Path) -> None:
    """A folder's files again, without taking their space twice where the disk allows it."""
    for file in sorted(source.rglob("*")):
        if file.is_file():
            link(file, target / file.relative_to(source))


def link(source: Path, target: Path) -> None:
    """The file again under another name: as a link where the disk allows it, else as a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
