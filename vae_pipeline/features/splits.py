"""Fit, calibrate and test parts: by unit, or by time where there are too few units; never by window."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vae_pipeline.errors import DataError
from vae_pipeline.records import Part, Split

__all__ = ["Segment", "split_rows", "split_table", "split_units"]

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


def split_units(names: Sequence[str], split: Split, has_test: bool) -> dict[str, Part]:
    """The part of each training unit, drawn with ``split.seed``; every part has at least one unit.

    Args:
        names: the units; their order does not matter.
        split: ``test`` is a share of all units, ``calibrate`` of those that remain.
        has_test: a test file exists, so no unit is cut off for testing.

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
    parts.update(dict.fromkeys(shuffled[:test], "test"))
    parts.update(dict.fromkeys(shuffled[test : test + calibrate], "calibrate"))
    return parts


def split_rows(rows: int, split: Split, has_test: bool, length: int) -> list[tuple[Part, int, int]]:
    """Blocks ``(part, start, stop)`` of a unit cut by time: fit, then calibrate, then test, ``length`` rows apart.

    The gap of one window keeps readings that hardly differ from standing on both sides. Every block holds at least
    one window; a unit too short for that is not cut and is wholly fit.
    """
    parts: list[Part] = ["fit", "calibrate"] if has_test else ["fit", "calibrate", "test"]
    usable = rows - (len(parts) - 1) * length
    if usable < len(parts) * length:
        return [("fit", 0, rows)]
    test = 0 if has_test else min(max(round(split.test * usable), length), usable - 2 * length)
    rest = usable - test
    calibrate = min(max(round(split.calibrate * rest), length), rest - length)
    sizes = {"fit": rest - calibrate, "calibrate": calibrate, "test": test}
    blocks, start = [], 0
    for part in parts:
        blocks.append((part, start, start + sizes[part]))
        start += sizes[part] + length
    return blocks


def split_table(units: Sequence[tuple[str, int, int]], split: Split, has_test: bool, length: int) -> list[Segment]:
    """Segments of the training table, in row order.

    Units are drawn into parts as wholes. With fewer than three units of at least one window each is cut by time
    instead. Units shorter than a window give none, so they are not drawn and stand in the fit part.

    Args:
        units: ``(name, start, stop)`` of every unit's rows.
        split: shares and seed.
        has_test: a test file exists.
        length: rows in a window.
    """
    long = [name for name, start, stop in units if stop - start >= length]
    if len(long) < _FEW_UNITS:
        return [
            Segment(name, part, start + first, start + last, start)
            for name, start, stop in units
            for part, first, last in split_rows(stop - start, split, has_test, length)
        ]
    parts = split_units(long, split, has_test)
    return [Segment(name, parts.get(name, "fit"), start, stop, start) for name, start, stop in units]
