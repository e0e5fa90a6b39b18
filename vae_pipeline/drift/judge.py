"""A detector's reference and a day of its predictions to a verdict."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from vae_pipeline.detector.description import ImageDescription, PairDescription, WindowDescription
from vae_pipeline.detector.detector import Detector
from vae_pipeline.drift.compare import FEWEST, LEVEL, Comparison, Names, compare
from vae_pipeline.drift.day import DayLog, Span
from vae_pipeline.drift.permutations import PERMUTATIONS, arrangements
from vae_pipeline.drift.record import Drift, Verdict
from vae_pipeline.drift.samples import Samples, balanced, reference_of
from vae_pipeline.features.arrow import to_numpy

__all__ = ["FEWEST_UNITS", "MOST", "Judgement", "input_names", "judge", "samples_of"]

MOST = 1000
"""Samples of either side that are compared: arrangements of more take long, and find what is too small to matter."""

FEWEST_UNITS = 8
"""Units of a reference from which units are compared; with fewer, stretches of time stand for them."""

_FAMILIES = 4
_SHOWN = 3


class Judgement(NamedTuple):
    """A verdict with what was compared for it.

    Attributes:
        drift: what is written.
        reference, current: both sides as they were compared, or as they came where they were too few.
        names: of latents and inputs.
    """

    drift: Drift
    reference: Samples
    current: Samples
    names: Names


def judge(
    detector: Detector,
    version: int,
    span: Span,
    log: DayLog,
    *,
    level: float = LEVEL,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Judgement:
    """Whether the predictions of these days differ from the normal samples that the detector was calibrated on.

    Both sides are thinned to as many samples a unit, and whole units change sides in the permutations; see the page
    docs/drift.md for what holds.

    Args:
        detector: that answered; its reference is the other side.
        version: of the model.
        span: the days.
        log: what `read_days` read of them.
        level: chance of the verdict drift without drift.
        permutations: random arrangements of units.
        seed: of these, and of thinning.
    """
    description = detector.description
    kept, seen, notes = reference_of(detector), samples_of(detector, log.sample), []
    names = Names(
        _numbered(detector.reference.get("latents")),
        input_names(detector) if "inputs" in detector.reference else (),
    )
    if "units" not in detector.reference:
        notes.append(
            "the detector was calibrated before units were kept: its samples count as independent, and an alarm is "
            "less sure; calibrate again"
        )
    elif kept.unit_count < FEWEST_UNITS:
        notes.append(
            f"the reference has {kept.unit_count} units, fewer than {FEWEST_UNITS}: stretches of time are compared in "
            "their place, and changes slower than an hour may alarm"
        )
        kept, seen = kept.by_stretch, seen.by_stretch
    reference, current = balanced(kept, seen, MOST, seed) if len(kept) and len(seen) else (kept, seen)
    reason = _too_few(log, reference, current, level)
    comparison = Comparison((), (), (), ())
    if not reason:
        comparison = compare(reference, current, names, level=level, permutations=permutations, seed=seed)
    verdict: Verdict = "too_few" if reason else ("drift" if comparison.drifted else "no_drift")
    spread = float(kept.scores.std())
    return Judgement(
        Drift(
            line=description.line,
            dataset=description.dataset,
            version=version,
            day=span.first.isoformat(),
            until=span.last.isoformat(),
            verdict=verdict,
            reason=reason or _reason(comparison, current),
            level=level,
            rows=log.rows,
            alarms=log.alarms,
            alarm_share=log.alarm_share if log.rows else None,
            reference_alarm_share=float(kept.alarms.mean()) if len(kept) else 0.0,
            score_mean=log.mean if log.rows else None,
            score_sd=log.sd if log.rows else None,
            score_shift=(log.mean - float(kept.scores.mean())) / spread if log.rows and spread > 0 else None,
            judged=len(current),
            units=current.unit_count,
            reference_judged=len(reference),
            reference_units=reference.unit_count,
            other_versions=log.other_versions,
            files=log.files,
            skipped_files=log.skipped_files,
            skipped=tuple(log.skipped),
            families=comparison.families,
            statistics=comparison.statistics,
            features=comparison.features,
            notes=(*notes, *comparison.notes, *_of_log(log)),
        ),
        reference,
        current,
        names,
    )


def samples_of(detector: Detector, sample: pa.Table) -> Samples:
    """Rows of the log as samples; of windows the unit is taken from the name, of others each row is its own.

    Windows without a name have their request as unit: what one request holds mostly belongs together. Stretches are
    the hours of the day.
    """
    scores = to_numpy(_column(sample, "score"))
    times = to_numpy(_column(sample, "time").cast(pa.int64()))
    units = np.arange(len(scores))
    if detector.description.medium == "table":
        requests, called = sample.column("request").to_pylist(), sample.column("name").to_pylist()
        units = _codes(
            [
                f"{'request' if name is None else 'unit'} {request if name is None else name.rpartition(', ')[0]}"
                for request, name in zip(requests, called, strict=True)
            ]
        )
    hours = times // 3_600_000_000
    _, stretches = np.unique(np.stack([units, hours]), axis=1, return_inverse=True)
    kept = detector.reference
    return Samples(
        scores,
        detector.decide(scores),
        units,
        stretches.reshape(-1),
        _lists(sample, "latent", kept.get("latents")),
        _lists(sample, "inputs", kept.get("inputs")),
    )


def input_names(detector: Detector) -> tuple[str, ...]:
    """What the inputs are called whose means the log keeps: sensors and settings, mel bands, colours."""
    description = detector.description
    if isinstance(description, PairDescription):
        return (*description.windows.inputs, *_COLOURS)
    if isinstance(description, ImageDescription):
        return _COLOURS
    assert isinstance(description, WindowDescription)  # noqa: S101 - there is no fourth kind
    return description.inputs


_COLOURS = ("red", "green", "blue")


def _column(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name).combine_chunks()
    return column if isinstance(column, pa.Array) else column.chunk(0)


def _lists(sample: pa.Table, name: str, beside: np.ndarray | None) -> np.ndarray | None:
    """Lists as an array as wide as ``beside``, nan for those of another length; None where nothing is beside them."""
    if beside is None:
        return None
    column = _column(sample, name)
    lengths = to_numpy(column.value_lengths())
    found = np.full((len(lengths), beside.shape[1]), np.nan)
    fits = lengths == beside.shape[1]
    values = to_numpy(column.flatten())
    found[fits] = values[np.repeat(fits, lengths)].reshape(-1, beside.shape[1])
    return found


def _codes(texts: list[str]) -> np.ndarray:
    codes: dict[str, int] = {}
    return np.array([codes.setdefault(text, len(codes)) for text in texts], dtype=np.int64)


def _numbered(latents: np.ndarray | None) -> tuple[str, ...]:
    return () if latents is None else tuple(f"latent {number}" for number in range(1, latents.shape[1] + 1))


def _too_few(log: DayLog, reference: Samples, current: Samples, level: float) -> str:
    """Why nothing can be said; empty where something can."""
    if not log.rows:
        others = f", and {log.other_versions:,} of other versions" if log.other_versions else ""
        return f"no predictions of this version were logged{others}"
    for side, called in ((current, "the day"), (reference, "the reference")):
        if len(side) < FEWEST:
            return (
                f"{called} has {len(side)} samples of {side.unit_count} units after thinning, {FEWEST} are needed; "
                "compare more days"
            )
    if arrangements(reference.unit_count, current.unit_count) < _FAMILIES / level:
        return (
            f"{current.unit_count} units beside {reference.unit_count} of the reference cannot be told from the "
            "differences there are between units; compare more days or units"
        )
    return ""


def _reason(comparison: Comparison, current: Samples) -> str:
    compared = f"{len(current)} samples of {current.unit_count} units"
    if not comparison.drifted:
        least = min(family.adjusted for family in comparison.families)
        return f"{compared} are like the reference: smallest adjusted p-value {least:.3g}"
    moved = [f"{family.name} (p {family.adjusted:.3g})" for family in comparison.families if family.drifted]
    text = f"{compared} differ from the reference in {', '.join(moved)}"
    most = [f"{each.name} by {each.shift:+.2f} sd" for each in comparison.features if each.drifted][:_SHOWN]
    return f"{text}; moved most: {', '.join(most)}" if most else text


def _of_log(log: DayLog) -> tuple[str, ...]:
    notes = []
    if log.skipped_files:
        notes.append(f"{log.skipped_files} of {log.files} files of the log could not be read and are left out")
    if log.other_versions:
        notes.append(f"{log.other_versions:,} rows are of other versions and left out")
    if log.broken_rows:
        notes.append(f"{log.broken_rows:,} rows have scores that are not finite and are left out")
    return tuple(notes)
