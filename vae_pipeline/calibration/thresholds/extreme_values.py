"""Thresholds from extreme value theory: rates beyond what the sample itself can show."""

import math
import warnings as python_warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

from vae_pipeline.calibration.thresholds.quantiles import percentile
from vae_pipeline.calibration.thresholds.threshold import Threshold, checked_rate, checked_scores, constant, made
from vae_pipeline.errors import CalibrationError

__all__ = ["block_maxima", "excess_quantile", "moment_fit", "peaks_over_threshold"]

FEWEST_EXCESSES = 20
FEWEST_BLOCKS = 20
# below this the exponential limit is exact to double precision
ZERO_SHAPE = 1e-9


def peaks_over_threshold(scores: ArrayLike, false_alarm_rate: float, excess_share: float = 0.05) -> Threshold:
    """The quantile at ``1 - false_alarm_rate`` of a generalised Pareto distribution fitted to the largest scores.

    With u the quantile at ``1 - excess_share``, zeta the share of scores above u, and shape xi and scale sigma of
    the excesses by maximum likelihood (location 0)::

        value = u + sigma / xi * ((rate / zeta) ** -xi - 1)        xi != 0
        value = u - sigma * log(rate / zeta)                       xi -> 0

    ``value_low`` and ``value_high`` are the 95 % interval of the delta method with the expected information (Coles
    2001, sections 4.3.2 and 4.3.3; Smith 1987), for independent scores and xi > -0.5; left out otherwise. Falls back
    to the percentile, with a warning, for a rate above ``excess_share``, fewer than 20 excesses, more than half of
    them tied, a fit that does not converge, or a shape outside [-1, 1].

    Args:
        scores: calibration scores of normal windows, shape (n_windows,).
        false_alarm_rate: intended share of alarms.
        excess_share: share of the scores taken as the tail.

    Raises:
        CalibrationError: no scores, scores that are not finite, or a rate or share outside (0, 1).
    """
    values, rate = checked_scores(scores), checked_rate(false_alarm_rate)
    if not 0.0 < excess_share < 1.0:
        msg = f"excess_share is {excess_share}: state a share between 0 and 1, such as 0.05"
        raise CalibrationError(msg)
    name = "peaks_over_threshold"
    if (flat := constant(name, values, rate)) is not None:
        return flat
    if rate > excess_share:
        return _fallen_back(name, values, rate, f"the rate {rate:g} lies above excess_share {excess_share:g}")
    peak = float(np.quantile(values, 1 - excess_share))
    excesses = values[values > peak] - peak
    fitted = _fit_excesses(excesses)
    if isinstance(fitted, str):
        return _fallen_back(name, values, rate, fitted)
    shape, scale = fitted
    share = excesses.size / values.size
    excess = excess_quantile(rate / share, shape, scale)
    parameters = {"peak": peak, "share": share, "excesses": excesses.size, "shape": shape, "scale": scale}
    doubts = ()
    if shape > -0.5:
        error = _standard_error(rate, shape, scale, n=values.size, excesses=excesses.size)
        parameters |= {"value_low": peak + excess - 1.96 * error, "value_high": peak + excess + 1.96 * error}
    else:
        doubts = (f"no interval: the fitted shape {shape:.2f} is not above -0.5, where its theory ends",)
    return made(name, peak + excess, values, rate, parameters, warnings=doubts)


def block_maxima(scores: ArrayLike, false_alarm_rate: float, block: int | None = None) -> Threshold:
    """The quantile at ``1 - false_alarm_rate`` from a generalised extreme value distribution of block maxima.

    For independent scores the maximum of a block of m has distribution F(x) ** m, so the value solves
    ``G(value) = (1 - false_alarm_rate) ** m`` with G fitted by maximum likelihood to the maxima (Coles 2001, chapter
    3). Scores are cut into blocks in the order given; a last, shorter block is dropped. Falls back to the percentile,
    with a warning, for fewer than 20 blocks, more than half of the maxima tied, a fit that does not converge, or a
    shape outside [-1, 1].

    Args:
        scores: calibration scores of normal windows in order of time, shape (n_windows,).
        false_alarm_rate: intended share of alarms, per score and not per block.
        block: scores in a block; n/50, at least 10 and at most 100, when left out.

    Raises:
        CalibrationError: no scores, scores that are not finite, a rate outside (0, 1) or a block below 1.
    """
    values, rate = checked_scores(scores), checked_rate(false_alarm_rate)
    name = "block_maxima"
    size = min(max(values.size // 50, 10), 100) if block is None else block
    if size < 1:
        msg = f"block is {size}: state how many scores, at least 1, make a block"
        raise CalibrationError(msg)
    if (flat := constant(name, values, rate)) is not None:
        return flat
    count = values.size // size
    if count < FEWEST_BLOCKS:
        return _fallen_back(name, values, rate, f"{count} blocks of {size} scores, {FEWEST_BLOCKS} are needed")
    maxima = values[: count * size].reshape(count, size).max(axis=1)
    if np.unique(maxima).size < count / 2:
        return _fallen_back(name, values, rate, "more than half of the block maxima are tied")
    centre, unit = float(maxima.mean()), float(maxima.std())
    # a Gumbel distribution of mean 0 and deviation 1 to start from
    scale = math.sqrt(6) / math.pi
    fitted = _fit(stats.genextreme, (maxima - centre) / unit, 0.05, loc=-np.euler_gamma * scale, scale=scale)
    if fitted is None:
        return _fallen_back(name, values, rate, "the extreme value fit did not converge")
    shape, location, scale = -fitted[0], fitted[1] * unit + centre, fitted[2] * unit  # scipy's shape is -xi
    if abs(shape) > 1.0:
        return _fallen_back(name, values, rate, f"the fitted shape {shape:.2f} lies outside [-1, 1]")
    exceeded = -math.expm1(size * math.log1p(-rate))
    value = float(stats.genextreme.isf(exceeded, -shape, location, scale))
    parameters = {"block": size, "blocks": count, "shape": shape, "location": location, "scale": scale}
    doubts = ()
    if rate * size >= 1.0:
        doubts = (f"rate {rate:g} is no tail for blocks of {size}: use shorter blocks or percentile",)
    return made(name, value, values, rate, parameters, warnings=doubts)


def excess_quantile(exceeded: float, shape: float, scale: float) -> float:
    """The excess that a generalised Pareto distribution exceeds with probability ``exceeded``; 0 at 1 and above."""
    if exceeded >= 1.0:
        return 0.0
    log = math.log(exceeded)
    return -scale * log if abs(shape) < ZERO_SHAPE else scale * math.expm1(-shape * log) / shape


def moment_fit(excesses: np.ndarray) -> tuple[float, float]:
    """Shape and scale of a generalised Pareto distribution by the method of moments (Hosking and Wallis 1987).

    The shape is below 0.5 by construction; equal excesses give an exponential distribution.
    """
    mean, variance = float(excesses.mean()), float(excesses.var())
    if variance <= 0.0:
        return 0.0, mean
    ratio = mean * mean / variance
    return 0.5 * (1.0 - ratio), 0.5 * mean * (1.0 + ratio)


def _fit_excesses(excesses: np.ndarray) -> tuple[float, float] | str:
    """Shape and scale of the generalised Pareto distribution, or the reason why there is none."""
    if excesses.size < FEWEST_EXCESSES:
        return f"{excesses.size} excesses, {FEWEST_EXCESSES} are needed"
    if np.unique(excesses).size < excesses.size / 2:
        return "more than half of the excesses are tied"
    # fitted in units of the mean excess: the same fit whatever the unit of the score
    unit = float(excesses.mean())
    shape, scale = moment_fit(excesses / unit)
    # the start lies inside the support whatever the largest excess, and off 0, where the simplex opens too narrow
    fitted = _fit(stats.genpareto, excesses / unit, max(shape, 0.1), floc=0.0, scale=scale)
    if fitted is None:
        return "the Pareto fit did not converge"
    if abs(fitted[0]) > 1.0:
        return f"the fitted shape {fitted[0]:.2f} lies outside [-1, 1]"
    return fitted[0], fitted[2] * unit


def _fit(distribution: Any, data: np.ndarray, shape: float, **start: float) -> tuple[float, ...] | None:
    """Maximum likelihood (shape, location, scale), None when the search does not converge."""
    with python_warnings.catch_warnings(), np.errstate(all="ignore"):
        python_warnings.simplefilter("ignore", RuntimeWarning)
        try:
            fitted = distribution.fit(data, shape, optimizer=_search, **start)
        except (stats.FitError, ValueError):
            return None
    return tuple(map(float, fitted)) if np.isfinite(fitted).all() and fitted[-1] > 0 else None


def _search(objective: Callable[..., float], start: np.ndarray, args: tuple = (), disp: bool = False) -> np.ndarray:
    """The simplex search that scipy's ``fit`` uses, except that a failure to converge is not passed over in silence."""
    found = optimize.minimize(objective, start, args=args, method="Nelder-Mead", options={"disp": disp})
    if not found.success:
        msg = "the search used up its steps"
        raise stats.FitError(msg)
    return found.x


def _standard_error(rate: float, shape: float, scale: float, *, n: int, excesses: int) -> float:
    """Standard error of the threshold by the delta method over (share of excesses, shape, scale)."""
    share = excesses / n
    ratio = share / rate
    log = math.log(ratio)
    if abs(shape) < 1e-6:
        by_scale, by_shape = log, scale * log * log / 2
    else:
        by_scale = math.expm1(shape * log) / shape
        by_shape = scale * (log * ratio**shape - by_scale) / shape
    by_share = scale * ratio**shape / share
    # inverse expected information of the excesses: (1 + xi) / m * [[1 + xi, -sigma], [-sigma, 2 sigma^2]]
    of_fit = by_shape**2 * (1 + shape) - 2 * by_shape * by_scale * scale + by_scale**2 * 2 * scale**2
    variance = by_share**2 * share * (1 - share) / n + (1 + shape) / excesses * of_fit
    return math.sqrt(max(variance, 0.0))


def _fallen_back(method: str, values: np.ndarray, rate: float, reason: str) -> Threshold:
    threshold = percentile(values, rate)
    return threshold.model_copy(
        update={"warnings": (f"{method} fell back to percentile: {reason}", *threshold.warnings)}
    )
