"""Fit, calibrate and test parts: by unit, or by time where there are too few units; never by window.

Units of batches that came later are drawn batch by batch, so that a new batch moves no unit that was there before: a
challenger is not tested on what its champion was fitted on.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vae_pipeline.errors import DataError
from vae_pipeline.features.source import source_of
from vae_pipeline.records import Part, Split

__all__ = ["Segment", "added_later", "batch_marks", "split_added", "split_rows", "split_table", "split_units"]

_FEW_UNITS = 3


@dataclass(frozen=True)
class Segment:
    """Consecutive rows of one unit that belong to one part.

    Attributes:
        name: the unit.
        part: fit, calibrate or test.
        start: offset of the first row in the rows array.
        stop: offset after the last row.
        first: offset of the unit's own first row, before ``start`` where a unit was cut; ages count from it.
    """

    name: str
    part: Part
    start: int
    stop: int
    first: int

    def to_json(self) -> dict[str, Any]:
        """The segment as ``features.json`` holds it."""
        return asdict(self)


def split_units(names: Sequence[str], split: Split, has_test: bool, anomalous: Collection[str] = ()) -> dict[str, Part]:
    """The part of each training unit, drawn with ``split.seed``; every part has at least one unit.

    Of units with anomalies test and calibrate get their share, and at least one each where there are as many, test
    first; a part of several units gets one without as well, where fit keeps another. The draw is the same where all
    units have anomalies and where none has.

    Args:
        names: the units; their order does not matter.
        split: ``test`` is a share of all units, ``calibrate`` of those that remain.
        has_test: a test file exists, so no unit is cut off for testing.
        anomalous: units with rows labelled 1.

    Raises:
        DataError: there are fewer units than parts.
    """
    wanted = 2 if has_test else 3
    if len(set(names)) < wanted:
        msg = f"split: {len(set(names))} units cannot give {wanted} parts; cut them by time or bring more units"
        raise DataError(msg)
    units = sorted(set(names))
    shuffled = [units[index] for index in np.random.default_rng(split.seed).permutation(len(units))]
    test = 0 if has_test else min(max(round(split.test * len(units)), 1), len(units) - 2)
    rest = len(units) - test
    calibrate = min(max(round(split.calibrate * rest), 1), rest - 1)
    parts: dict[str, Part] = dict.fromkeys(shuffled, "fit")
    sides = [[name for name in shuffled if (name in anomalous) == side] for side in (True, False)]
    sizes: dict[Part, int] = {"test": test, "calibrate": calibrate}
    for part, size in sizes.items():
        marked = _marked(size, len(sides[0]), len(sides[1]), left=part == "test")
        for side, count in zip(sides, (marked, size - marked), strict=True):
            parts.update(dict.fromkeys(side[:count], part))
            del side[:count]
    return parts


def _marked(size: int, anomalous: int, others: int, left: int) -> int:
    """How many of ``size`` drawn units have anomalies, out of ``anomalous`` that do and ``others`` that do not.

    As many as is their share, but one at least, and where it can be done ``left`` of them and one other are not drawn.
    """
    if not size or not anomalous or not others:
        return size if anomalous else 0
    fewest = max(1, size - (others - 1))
    most = min(max(anomalous - left, 1), size - 1 if size > 1 and others > 1 else size)
    return min(max(round(size * anomalous / (anomalous + others)), fewest), most)


def batch_marks(raw: Path) -> frozenset[str]:
    """What the units of batches are named after (``<mark>:<unit>``), as ``source.json`` in a raw folder lists them.

    Raises:
        DataError: the file is no valid JSON.
    """
    return frozenset(batch["mark"] for batch in source_of(raw).get("batches", ()))


def added_later(unit: str, marks: Collection[str]) -> bool:
    """Whether a unit came with a batch."""
    return unit.partition(":")[0] in marks


def split_added(names: Sequence[str], split: Split, has_test: bool) -> dict[str, Part]:
    """The part of each unit of batches, ``<mark>:<unit>``; what else there is plays no role.

    Within a batch units are ordered by a hash of their names, seeded with ``split.seed``: the first share ``test``
    tests unless the dataset has a test part, then ``calibrate`` of the others, and the rest fits. A batch of one unit
    goes where its hash falls.
    """
    batches: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        batches.setdefault(name.partition(":")[0], []).append(name)
    test = 0.0 if has_test else split.test
    calibrate = test + split.calibrate * (1.0 - test)

    def hashed(name: str) -> float:
        return int(hashlib.sha256(f"{split.seed}:{name}".encode()).hexdigest()[:12], 16) / 16**12

    parts: dict[str, Part] = {}
    for units in batches.values():
        ordered = sorted(units, key=hashed)
        for place, name in enumerate(ordered):
            reached = hashed(name) if len(units) == 1 else (place + 0.5) / len(units)
            parts[name] = "test" if reached < test else "calibrate" if reached < calibrate else "fit"
    return parts


def split_rows(rows: int, split: Split, has_test: bool, length: int) -> list[tuple[Part, int, int]]:
    """Blocks ``(part, start, stop)`` of a unit cut by time: fit, then calibrate, then test, ``length`` rows apart.

    The gap of one window keeps readings that hardly differ from standing on both sides. Every block holds at least
    one window; a unit too short for that is not cut and is wholly fit.
    """
    if rows < split.rows_needed(length, has_test=has_test):
        return [("fit", 0, rows)]
    parts: list[Part] = ["fit", "calibrate"] if has_test else ["fit", "calibrate", "test"]
    usable = rows - (len(parts) - 1) * length
    test = 0 if has_test else min(max(round(split.test * usable), length), usable - 2 * length)
    rest = usable - test
    calibrate = min(max(round(split.calibrate * rest), length), rest - length)
    sizes = {"fit": rest - calibrate, "calibrate": calibrate, "test": test}
    blocks, start = [], 0
    for part in parts:
        blocks.append((part, start, start + sizes[part]))
        start += sizes[part] + length
    return blocks


def split_table(
    units: Sequence[tuple[str, int, int]],
    split: Split,
    has_test: bool,
    length: int,
    marks: Collection[str] = (),
    anomalous: Collection[str] = (),
) -> list[Segment]:
    """Segments of the training table, in row order.

    Units are drawn into parts as wholes. With fewer than three units of at least one window each is cut by time
    instead. Units shorter than a window give none, so they are not drawn and stand in the fit part.

    Args:
        units: ``(name, start, stop)`` of every unit's rows.
        split: shares and seed.
        has_test: a test file exists.
        length: rows in a window.
        marks: of the batches; see `split_added`.
        anomalous: units with windows labelled 1; see `split_units`.
    """
    long = [name for name, start, stop in units if stop - start >= length]
    own = [name for name in long if not added_later(name, marks)]
    parts = split_added([name for name in long if added_later(name, marks)], split, has_test)
    by_time = len(own) < _FEW_UNITS
    if not by_time:
        parts |= split_units(own, split, has_test, anomalous)
    return [
        segment
        for name, start, stop in units
        for segment in (
            [
                Segment(name, part, start + first, start + last, start)
                for part, first, last in split_rows(stop - start, split, has_test, length)
            ]
            if by_time and not added_later(name, marks)
            else [Segment(name, parts.get(name, "fit"), start, stop, start)]
        )
    ]
