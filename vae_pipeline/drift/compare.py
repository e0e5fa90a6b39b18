"""Two sides compared: every statistic of every family, and what they say together.

The rule: within a family the smallest p-value of its statistics is calibrated over the same arrangements
(`permutations.combined`); over the families Holm's correction holds the chance that any of them alarms without drift
below the level.
"""

from typing import NamedTuple

import numpy as np

from vae_pipeline.drift.permutations import PERMUTATIONS, combined, holm, p_value, p_values, sides
from vae_pipeline.drift.record import Family, FamilyName, Moved, Statistic
from vae_pipeline.drift.samples import Samples
from vae_pipeline.drift.statistics import (
    Ordered,
    kolmogorov_smirnov,
    mean_shift,
    mmd,
    psi,
    share_shift,
    variance_shift,
    wasserstein,
)

__all__ = ["FEWEST", "LEVEL", "Comparison", "Names", "compare"]

LEVEL = 0.05
"""Chance of a verdict of drift without drift, at most."""

FEWEST = 20
"""Samples on either side from which a family is compared."""

_OF_DISTRIBUTIONS = {"kolmogorov_smirnov": kolmogorov_smirnov, "wasserstein": wasserstein, "psi": psi}
_SPREAD = 1e-12


class Names(NamedTuple):
    """What the dimensions of latents and inputs are called; empty where they are not compared."""

    latents: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()


class Comparison(NamedTuple):
    """What a comparison found; ``notes`` say which families could not be compared."""

    families: tuple[Family, ...]
    statistics: tuple[Statistic, ...]
    features: tuple[Moved, ...]
    notes: tuple[str, ...]

    @property
    def drifted(self) -> bool:
        """Whether any family drifted."""
        return any(family.drifted for family in self.families)


class _Family(NamedTuple):
    statistics: list[Statistic]
    over_arrangements: list[np.ndarray]
    moved: tuple[Moved, ...] = ()


def compare(
    reference: Samples,
    current: Samples,
    names: Names,
    *,
    level: float = LEVEL,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Comparison:
    """Every statistic with its p-value, and the families by the rule of this module.

    Args:
        reference: normal samples, alike in samples a unit to the others (see `samples.balanced`).
        current: those that may have drifted; no unit code is on both sides.
        names: of latents and inputs; a family without names is left out.
        level: of the verdict.
        permutations: random arrangements.
        seed: of the arrangements.
    """
    blocks = np.concatenate([reference.units, current.units])
    is_current = np.arange(len(blocks)) >= len(reference)

    def dealt(known: np.ndarray) -> np.ndarray:
        return sides(blocks[known], is_current[known], permutations, seed)

    everywhere = dealt(np.ones(len(blocks), dtype=bool))
    scores = np.concatenate([reference.scores, current.scores])
    alarms = np.concatenate([reference.alarms, current.alarms])
    found: dict[FamilyName, _Family] = {
        "scores": _of_scores(scores, everywhere, level),
        "alarms": _of_alarms(alarms, everywhere, level),
    }
    notes = []
    parts: list[tuple[FamilyName, tuple[str, ...], np.ndarray | None, np.ndarray | None]] = [
        ("latents", names.latents, reference.latents, current.latents),
        ("features", names.inputs, reference.inputs, current.inputs),
    ]
    for family, called, one, other in parts:
        if not called or one is None or other is None:
            notes.append(f"{family} are not compared: the detector was calibrated before they were kept")
            continue
        values = np.concatenate([one, other]).astype(np.float64)
        known = np.asarray(np.isfinite(values).all(axis=1))
        counts = int((known & ~is_current).sum()), int((known & is_current).sum())
        if min(counts) < FEWEST:
            notes.append(f"{family} are not compared: {counts[1]} samples have all of them, {FEWEST} are needed")
            continue
        found[family] = _of_dimensions(family, called, values[known], dealt(known), level)
    together = [combined(each.over_arrangements) for each in found.values()]
    families = tuple(
        Family(name=name, p_value=value, adjusted=adjusted, drifted=adjusted <= level)
        for name, value, adjusted in zip(found, together, holm(together), strict=True)
    )
    statistics = tuple(statistic for each in found.values() for statistic in each.statistics)
    features = found["features"].moved if "features" in found else ()
    return Comparison(families, statistics, features, tuple(notes))


def _of_scores(scores: np.ndarray, arranged: np.ndarray, level: float) -> _Family:
    ordered = Ordered(scores, arranged)
    over = {name: statistic(ordered) for name, statistic in _OF_DISTRIBUTIONS.items()}
    over |= {"mean_shift": mean_shift(scores, arranged), "variance_shift": variance_shift(scores, arranged)}
    is_current = arranged[0]
    reference, current = scores[~is_current], scores[is_current]
    spread = max(float(reference.std()), _SPREAD)
    shown = {name: float(values[0]) for name, values in over.items()}
    shown["wasserstein"] *= ordered.spread / spread
    shown["mean_shift"] = float(current.mean() - reference.mean()) / spread
    shown["variance_shift"] = float(current.var() / max(reference.var(), _SPREAD))
    statistics = [_statistic("scores", name, shown[name], p_value(values), level) for name, values in over.items()]
    return _Family(statistics, list(over.values()))


def _of_alarms(alarms: np.ndarray, arranged: np.ndarray, level: float) -> _Family:
    over = share_shift(alarms, arranged)
    moved = float(alarms[arranged[0]].mean() - alarms[~arranged[0]].mean())
    return _Family([_statistic("alarms", "alarm_rate", moved, p_value(over), level)], [over])


def _of_dimensions(
    family: FamilyName, names: tuple[str, ...], values: np.ndarray, arranged: np.ndarray, level: float
) -> _Family:
    is_current = arranged[0]
    reference, current = values[~is_current], values[is_current]
    spread = np.maximum(reference.std(axis=0), _SPREAD)
    over: dict[str, list[np.ndarray]] = {name: [] for name in _OF_DISTRIBUTIONS}
    scale = []
    for column, sd in zip(values.T, spread, strict=True):
        ordered = Ordered(column, arranged)
        for name, statistic in _OF_DISTRIBUTIONS.items():
            over[name].append(statistic(ordered))
        scale.append(ordered.spread / sd)
    statistics, highest, adjusted = [], [], {}
    if family == "latents":
        discrepancy = mmd(values, arranged)
        highest.append(discrepancy)
        statistics.append(_statistic(family, "mmd", float(discrepancy[0]), p_value(discrepancy), level))
    for name, columns in over.items():
        stacked = np.stack(columns, axis=1)
        highest.append(stacked.max(axis=1))
        adjusted[name] = p_values(stacked)
        shown = stacked[0] * (np.array(scale) if name == "wasserstein" else 1.0)
        largest = int(stacked[0].argmax())
        at, p = names[largest], float(adjusted[name].min())
        statistics.append(_statistic(family, name, float(shown[largest]), p, level, at))
    shift = (current.mean(axis=0) - reference.mean(axis=0)) / spread
    moved = tuple(
        Moved(
            name=names[place],
            shift=float(shift[place]),
            p_value=float(adjusted["kolmogorov_smirnov"][place]),
            drifted=bool(adjusted["kolmogorov_smirnov"][place] <= level),
        )
        for place in np.argsort(-np.abs(shift), kind="stable")
    )
    return _Family(statistics, highest, moved)


def _statistic(family: FamilyName, name: str, value: float, p: float, level: float, at: str | None = None) -> Statistic:
    return Statistic(family=family, name=name, value=value, at=at, p_value=p, level=level, drifted=p <= level)
