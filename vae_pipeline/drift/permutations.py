"""Which samples could as well have been the others: whole blocks change sides, since samples of a block depend."""

import math
from collections.abc import Sequence

import numpy as np

__all__ = ["PERMUTATIONS", "arrangements", "combined", "holm", "p_value", "p_values", "sides"]

PERMUTATIONS = 999
"""Random arrangements beside the observed one: the smallest p-value is 1 / 1000."""

_ROUNDING = 1e-9
"""Arrangements that are the observed one again may differ from it by the order of a sum."""


def sides(blocks: np.ndarray, current: np.ndarray, permutations: int = PERMUTATIONS, seed: int = 0) -> np.ndarray:
    """Arrangements of pooled samples on two sides, boolean (1 + permutations, n), true where a sample is current.

    The first row is the observed one. In the others blocks are dealt anew, as many to each side as there were; where
    every sample is its own block that is the plain permutation test.

    Args:
        blocks: code of each pooled sample's block, shape (n,); no block lies on both sides.
        current: which samples are current, boolean (n,).
        permutations: how many random arrangements.
        seed: the same seed gives the same arrangements.
    """
    _, first, code = np.unique(blocks, return_index=True, return_inverse=True)
    dealt = np.tile(current[first], (permutations, 1))
    np.random.default_rng(seed).permuted(dealt, axis=1, out=dealt)
    return np.concatenate([current[None], dealt[:, code]])


def arrangements(reference_blocks: int, current_blocks: int) -> int:
    """Number of different arrangements; no p-value can fall below one in so many."""
    return math.comb(reference_blocks + current_blocks, current_blocks)


def p_value(values: np.ndarray) -> float:
    """Share of arrangements whose statistic is at least the observed one, which counts too.

    ``(1 + count) / (1 + permutations)``: never 0, and a valid level whatever the number of permutations (Phipson and
    Smyth, 2010).

    Args:
        values: of a statistic that grows with drift, shape (1 + permutations,), the observed one first.
    """
    return float((values >= values[0] - _ROUNDING * max(1.0, abs(float(values[0])))).mean())


def p_values(values: np.ndarray) -> np.ndarray:
    """For each of several dimensions the p-value that holds although the highest of them is looked at, shape (d,).

    Step-down max-T of Westfall and Young (1993), algorithm 4.1: Holm's procedure, with the dependence between the
    dimensions taken from the arrangements. Holm's own would ask for p-values that few permutations cannot reach.

    Args:
        values: of one statistic, alike in scale in all dimensions, shape (1 + permutations, d).
    """
    order = np.argsort(-values[0], kind="stable")
    highest = np.maximum.accumulate(values[:, order[::-1]], axis=1)[:, ::-1]
    slack = _ROUNDING * np.maximum(1.0, np.abs(values[0, order]))
    stepped = np.maximum.accumulate((highest >= values[0, order] - slack).mean(axis=0))
    found = np.empty(values.shape[1])
    found[order] = stepped
    return found


def combined(statistics: Sequence[np.ndarray]) -> float:
    """The p-value of several statistics of one family together: how rarely one of them is as extreme by chance.

    Each arrangement's p-values are those of its own statistics among all arrangements; what is compared is the
    smallest of them (min-p of Westfall and Young, 1993).

    Args:
        statistics: each of shape (1 + permutations,), over the same arrangements.
    """
    smallest = np.min([_ranked(values) for values in statistics], axis=0)
    return p_value(-smallest)


def holm(values: Sequence[float]) -> list[float]:
    """P-values adjusted by Holm (1979): comparing each with a level keeps the chance of one false alarm below it."""
    order = np.argsort(values)
    factors = np.arange(len(values), 0, -1)
    stepped = np.maximum.accumulate(np.minimum(1.0, np.asarray(values, dtype=np.float64)[order] * factors))
    found = np.empty(len(values))
    found[order] = stepped
    return found.tolist()


def _ranked(values: np.ndarray) -> np.ndarray:
    """The p-value of every arrangement among all, shape as given; equal values share the larger."""
    rounded = np.round(values, 9)
    ordered = np.sort(rounded)
    return 1.0 - np.searchsorted(ordered, rounded, side="left") / len(values)
