"""Two-sample statistics, each over many arrangements of the same pooled samples at once.

All take ``sides``, boolean (arrangements, n), true where a pooled sample counts as current (see `permutations`), and
give one value an arrangement that grows with drift; the first is the observed one. None has a level of its own: its
p-value is its rank among the arrangements, so that dependence within blocks is respected alike by all.
"""

from functools import cached_property

import numpy as np

__all__ = [
    "BINS",
    "Ordered",
    "bandwidth",
    "kolmogorov_smirnov",
    "mean_shift",
    "mmd",
    "psi",
    "share_shift",
    "variance_shift",
    "wasserstein",
]

BINS = 10
"""Of the population stability index: deciles of the reference."""

_BANDWIDTH_SAMPLES = 1000


def bandwidth(values: np.ndarray) -> float:
    """The median distance between samples (n, d), of an even thousand where there are more; 1 where it is 0.

    The median heuristic of Gretton et al., A Kernel Two-Sample Test, JMLR 2012. Of the pooled samples, so that it is
    the same in all arrangements.
    """
    from scipy.spatial.distance import pdist

    some = values[np.linspace(0, len(values) - 1, min(len(values), _BANDWIDTH_SAMPLES)).astype(np.int64)]
    distances = pdist(np.asarray(some, dtype=np.float64))
    return float(np.median(distances)) or float(distances.mean()) or 1.0


def mmd(values: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Squared maximum mean discrepancy with a Gaussian kernel, unbiased, shape (arrangements,).

    Gretton et al. 2012, equation 3, with ``k(x, y) = exp(-|x - y|² / 2s²)`` and ``s`` by `bandwidth`. With the kernel
    matrix K without its diagonal and the indicator s of an arrangement, the sums within the current side are ``s'Ks``,
    those between the sides ``s'K1 - s'Ks``, and the rest is within the reference: one matrix product for all.

    Args:
        values: pooled samples, shape (n, d).
        sides: at least two samples on either side.
    """
    from scipy.spatial.distance import cdist

    values = np.asarray(values, dtype=np.float64)
    kernel = np.exp(cdist(values, values, "sqeuclidean") / (-2.0 * bandwidth(values) ** 2)).astype(np.float32)
    np.fill_diagonal(kernel, 0.0)
    chosen = sides.astype(np.float32)
    m = sides.sum(axis=1, dtype=np.float64)
    n = sides.shape[1] - m
    rows = kernel.sum(axis=1, dtype=np.float64)
    within = np.einsum("pn,pn->p", chosen @ kernel, chosen, dtype=np.float64)
    between = sides @ rows - within
    rest = rows.sum() - within - 2.0 * between
    return within / (m * (m - 1.0)) + rest / (n * (n - 1.0)) - 2.0 * between / (m * n)


class Ordered:
    """One dimension of the pooled samples in order, with the share of either side up to each distinct value.

    Attributes:
        points: the distinct values, shape (k,).
        sides: as given.
    """

    def __init__(self, column: np.ndarray, sides: np.ndarray) -> None:
        self._order = np.argsort(column, kind="stable")
        self.sides = sides
        ordered = np.asarray(column, dtype=np.float64)[self._order]
        self._last = np.flatnonzero(np.append(np.diff(ordered) > 0, True))
        self.points = ordered[self._last]
        self.spread = float(ordered.std())

    @cached_property
    def _counts(self) -> tuple[np.ndarray, np.ndarray]:
        current = np.cumsum(self.sides[:, self._order], axis=1, dtype=np.int32)[:, self._last]
        return current, (self._last + 1).astype(np.int32) - current

    @property
    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        """Samples of the current and of the reference side up to each point, int32 (arrangements, k)."""
        return self._counts

    @cached_property
    def difference(self) -> np.ndarray:
        """Difference of the two distribution functions at each point, float32 (arrangements, k)."""
        current, reference = self.counts
        return current / current[:, -1:].astype(np.float32) - reference / reference[:, -1:].astype(np.float32)


def kolmogorov_smirnov(ordered: Ordered) -> np.ndarray:
    """The largest difference between the two distribution functions, shape (arrangements,)."""
    return np.abs(ordered.difference).max(axis=1).astype(np.float64)


def wasserstein(ordered: Ordered) -> np.ndarray:
    """The area between the two distribution functions in units of the pooled sd, shape (arrangements,).

    The pooled sd is the same in all arrangements, and makes dimensions comparable; 0 for a constant.
    """
    if len(ordered.points) < 2:
        return np.zeros(len(ordered.sides))
    gaps = np.diff(ordered.points) / ordered.spread
    return np.abs(ordered.difference[:, :-1]) @ gaps


def psi(ordered: Ordered) -> np.ndarray:
    """Population stability index over deciles of the reference side, shape (arrangements,).

    ``sum((p - q) ln(p / q))`` with the shares p of the current and q of the reference side in each bin. Bins end at
    values that occur, so that equal values share one. Half a sample a bin is added to either side, spread as the pooled
    samples are: no share is 0 where there is a sample, and a bin without any counts nothing.
    """
    current, reference = ordered.counts
    arrangements, k = reference.shape
    wanted = np.ceil(reference[:, -1:] * (np.arange(1, BINS) / BINS))
    # one search for all arrangements: each one's counts rise, and lie above all of those before
    above = np.arange(arrangements)[:, None] * (float(reference[:, -1].max()) + 1.0)
    places = np.searchsorted((reference + above).ravel(), (wanted + above).ravel()).reshape(arrangements, -1)
    last = np.full((arrangements, 1), k - 1)
    ends = np.concatenate([places - np.arange(arrangements)[:, None] * k, last], axis=1)
    in_bins = [np.diff(np.take_along_axis(counts, ends, axis=1), axis=1, prepend=0) for counts in (current, reference)]
    added = (in_bins[0] + in_bins[1]) / float(current[0, -1] + reference[0, -1]) * (0.5 * BINS)
    p, q = ((counts + added) / (counts.sum(axis=1, keepdims=True) + 0.5 * BINS) for counts in in_bins)
    there = added > 0
    return np.where(there, (p - q) * np.log(np.where(there, p, 1.0) / np.where(there, q, 1.0)), 0.0).sum(axis=1)


def mean_shift(column: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Absolute t of Welch (1947), shape (arrangements,).

    Its permutation test keeps its level, in the limit, where the two sides differ in variance (Janssen 1997).
    """
    current, reference, (m, n) = _moments(column, sides)
    error = np.sqrt(current[1] / m + reference[1] / n)
    difference = np.abs(current[0] - reference[0])
    return np.divide(difference, error, out=np.zeros_like(difference), where=error > 0)


def variance_shift(column: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Absolute logarithm of the ratio of the two variances, each about its own mean, shape (arrangements,).

    The permutation test of a ratio of variances (Good, Permutation, Parametric and Bootstrap Tests, 2005, 3.7).
    """
    current, reference, _ = _moments(column, sides)
    tiny = np.finfo(np.float64).tiny
    floor = 1e-12 * max(float(np.var(column)), tiny)
    return np.abs(np.log(np.maximum(current[1], floor) / np.maximum(reference[1], floor)))


def share_shift(marked: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Absolute difference of the shares of marked samples, shape (arrangements,).

    Where every sample is its own block this is Fisher's exact test, by random arrangements.
    """
    hits = sides @ marked.astype(np.float64)
    m = sides.sum(axis=1)
    return np.abs(hits / m - (marked.sum() - hits) / (len(marked) - m))


def _moments(
    column: np.ndarray, sides: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Mean and variance of the current and of the reference side, and their sizes, each of shape (arrangements,)."""
    centred = np.asarray(column, dtype=np.float64) - np.mean(column)
    m = sides.sum(axis=1).astype(np.float64)
    n = sides.shape[1] - m
    first, second = sides @ centred, sides @ centred**2
    found = []
    for size, total, squares in ((m, first, second), (n, centred.sum() - first, (centred**2).sum() - second)):
        mean = total / size
        found.append((mean, np.maximum(squares / size - mean**2, 0.0) * size / np.maximum(size - 1.0, 1.0)))
    return found[0], found[1], (m, n)
