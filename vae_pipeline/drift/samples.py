"""One side of a comparison: scores, latents and inputs of samples, with the units that make them depend."""

from dataclasses import dataclass, replace

import numpy as np

from vae_pipeline.detector.detector import Detector

__all__ = ["PER_UNIT", "Samples", "balanced", "reference_of", "thinned"]

PER_UNIT = 20
"""Samples of one unit at most: further ones tell little more about it."""

STRETCHES = 24
"""Stretches of time that a reference of few units is cut into; those of a day are its hours."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of one side.

    Attributes:
        scores: shape (n,), float64.
        alarms: whether the detector's own threshold alarms, boolean (n,).
        units: code of each sample's unit, shape (n,), int64; samples of one unit depend.
        stretches: code of the stretch of time each sample lies in, shape (n,), int64: stands for the unit where there
            are too few units to compare.
        latents: shape (n, latent); None where they are not known, nan in samples without them.
        inputs: means of each sample's inputs, shape (n, inputs), in the units they came in; None and nan likewise.
    """

    scores: np.ndarray
    alarms: np.ndarray
    units: np.ndarray
    stretches: np.ndarray
    latents: np.ndarray | None = None
    inputs: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def unit_count(self) -> int:
        """How many units they come from."""
        return len(np.unique(self.units))

    @property
    def by_stretch(self) -> "Samples":
        """The same with stretches of time in place of units."""
        return replace(self, units=self.stretches)

    def take(self, places: np.ndarray) -> "Samples":
        """Some of them, by boolean or integer index."""
        return Samples(
            self.scores[places],
            self.alarms[places],
            self.units[places],
            self.stretches[places],
            None if self.latents is None else self.latents[places],
            None if self.inputs is None else self.inputs[places],
        )


def reference_of(detector: Detector) -> Samples:
    """What a detector keeps of its normal calibration samples.

    Those calibrated before units were kept have every sample as its own unit, and no inputs.
    """
    kept = detector.reference
    scores = np.asarray(kept["scores"], dtype=np.float64)
    units = kept.get("units")
    return Samples(
        scores,
        detector.decide(scores),
        np.arange(len(scores)) if units is None else np.asarray(units, dtype=np.int64),
        np.arange(len(scores)) * STRETCHES // max(1, len(scores)),
        kept.get("latents"),
        kept.get("inputs"),
    )


def thinned(samples: Samples, per_unit: int, most: int, seed: int = 0) -> Samples:
    """At most ``per_unit`` random samples of each unit, and random whole units up to ``most`` samples.

    Drawn and not evenly spaced: first and last windows of a unit are its extremes, and few evenly spaced ones would
    be another mix than the unit's own.
    """
    random = np.random.default_rng(seed)
    _, code, counts = np.unique(samples.units, return_inverse=True, return_counts=True)
    places = np.lexsort((random.random(len(samples)), code))
    kept = np.minimum(counts, per_unit)
    rank = np.arange(len(samples)) - np.repeat(np.cumsum(counts) - counts, counts)
    chosen = places[rank < np.repeat(kept, counts)]
    if len(chosen) > most:
        order = random.permutation(len(kept))
        stays = np.zeros(len(kept), dtype=bool)
        stays[order[: max(1, int(np.searchsorted(np.cumsum(kept[order]), most, side="right")))]] = True
        chosen = chosen[stays[code[chosen]]]
    return samples.take(np.sort(chosen))


def balanced(reference: Samples, current: Samples, most: int, seed: int = 0) -> tuple[Samples, Samples]:
    """Both sides with as many samples a unit, and unit codes that no unit of the other side has.

    Units are exchangeable only where they are seen alike: the mean of fifty windows of an engine spreads less than that
    of two. So either side keeps, of each unit, at most what units of the other side commonly have.
    """
    sizes = [int(np.median(np.unique(side.units, return_counts=True)[1])) for side in (reference, current)]
    per_unit = min(PER_UNIT, *sizes)
    one, other = (thinned(side, per_unit, most, seed) for side in (reference, current))
    return _coded(one, 0), _coded(other, one.unit_count)


def _coded(samples: Samples, first: int) -> Samples:
    return replace(samples, units=first + np.unique(samples.units, return_inverse=True)[1])
