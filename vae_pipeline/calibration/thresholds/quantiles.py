"""Thresholds from quantiles of the scores, read off the sample or off a normal distribution."""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from vae_pipeline.calibration.thresholds.threshold import Threshold, checked_rate, checked_scores, constant, made
from vae_pipeline.errors import CalibrationError

__all__ = ["conformal", "conformal_p_values", "gaussian", "mad", "percentile"]

# makes the median absolute deviation a consistent estimate of a normal distribution's standard deviation
MAD_TO_DEVIATION = 1.4826


def percentile(scores: ArrayLike, false_alarm_rate: float) -> Threshold:
    """The empirical quantile at ``1 - false_alarm_rate``, interpolated between neighbouring scores.

    Args:
        scores: calibration scores of normal windows, shape (n_windows,).
        false_alarm_rate: intended share of alarms.

    Raises:
        CalibrationError: no scores, scores that are not finite, or a rate outside (0, 1).
    """
    values, rate = checked_scores(scores), checked_rate(false_alarm_rate)
    if (flat := constant("percentile", values, rate)) is not None:
        return flat
    warnings = ()
    if values.size * rate < 1:
        warnings = (
            f"{values.size} scores hold less than one false alarm at rate {rate:g}: expect about "
            f"{1 / (values.size + 1):.2g}, or use peaks_over_threshold",
        )
    return made("percentile", float(np.quantile(values, 1 - rate)), values, rate, warnings=warnings)


def mad(scores: ArrayLike, false_alarm_rate: float) -> Threshold:
    """Median + z * 1.4826 * MAD, z being the normal quantile at ``1 - false_alarm_rate``.

    Falls back to the percentile, with a warning, when half of the scores are equal and the MAD is 0.

    Args:
        scores: calibration scores of normal windows, shape (n_windows,).
        false_alarm_rate: intended share of alarms.

    Raises:
        CalibrationError: no scores, scores that are not finite, or a rate outside (0, 1).
    """
    values, rate = checked_scores(scores), checked_rate(false_alarm_rate)
    if (flat := constant("mad", values, rate)) is not None:
        return flat
    median = float(np.median(values))
    deviation = MAD_TO_DEVIATION * float(np.median(np.abs(values - median)))
    if deviation == 0.0:
        return _warned(percentile(values, rate), "mad fell back to percentile: half of the scores are equal")
    z = float(stats.norm.isf(rate))
    return made("mad", median + z * deviation, values, rate, {"median": median, "deviation": deviation, "z": z})


def gaussian(scores: ArrayLike, false_alarm_rate: float) -> Threshold:
    """Mean + z * standard deviation, z being the normal quantile at ``1 - false_alarm_rate``.

    Args:
        scores: calibration scores of normal windows, shape (n_windows,).
        false_alarm_rate: intended share of alarms.

    Raises:
        CalibrationError: no scores, scores that are not finite, or a rate outside (0, 1).
    """
    values, rate = checked_scores(scores), checked_rate(false_alarm_rate)
    if (flat := constant("gaussian", values, rate)) is not None:
        return flat
    mean, deviation = float(values.mean()), float(values.std(ddof=1))
    z = float(stats.norm.isf(rate))
    return made("gaussian", mean + z * deviation, values, rate, {"mean": mean, "deviation": deviation, "z": z})


def conformal(scores: ArrayLike, false_alarm_rate: float) -> Threshold:
    """Split conformal: the ``ceil((n + 1)(1 - false_alarm_rate))``-th smallest score.

    A new score exchangeable with the calibration scores exceeds it with probability at most
    ``guaranteed_rate = (n + 1 - k) / (n + 1)``, ties included (Vovk et al. 2005; Lei et al. 2018, theorem 2.2). That
    holds on average over calibration sets; ``rate_low`` and ``rate_high`` are the 95 % range of the rate that one
    calibration set of independent scores attains, quantiles of Beta(n + 1 - k, k). With n < 1/rate - 1 no score is
    high enough: the value is the largest score, which keeps 1/(n + 1), with a warning.

    Args:
        scores: calibration scores of normal windows, shape (n_windows,).
        false_alarm_rate: intended share of alarms.

    Raises:
        CalibrationError: no scores, scores that are not finite, or a rate outside (0, 1).
    """
    values, rate = checked_scores(scores), checked_rate(false_alarm_rate)
    if (flat := constant("conformal", values, rate)) is not None:
        return flat
    n = values.size
    # floor of the other side: ceil((n + 1)(1 - rate)) jumps one up where rounding lifts an integer, as at 200 * 0.95
    above = math.floor((n + 1) * rate * (1 + 1e-12))
    warnings, guarantee = (), None
    if above < 1:
        above = 1
        warnings = (
            f"{n} scores cannot guarantee a false-alarm rate of {rate:g}, that takes {math.ceil(1 / rate - 1)}: the "
            f"largest score guarantees {1 / (n + 1):.2g}",
        )
        guarantee = (
            f"A new score exchangeable with the calibration scores lies above with probability at most "
            f"{1 / (n + 1):.2g}, not the asked {rate:g}."
        )
    order = n + 1 - above
    low, high = stats.beta.ppf([0.025, 0.975], above, order)
    parameters = {"order": order, "guaranteed_rate": above / (n + 1), "rate_low": low, "rate_high": high}
    value = float(np.partition(values, order - 1)[order - 1])
    return made("conformal", value, values, rate, parameters, warnings=warnings, guarantee=guarantee)


def conformal_p_values(scores: ArrayLike, calibration_scores: ArrayLike) -> np.ndarray:
    """``(1 + number of calibration scores >= score) / (n + 1)`` for every score, same shape as ``scores``.

    A p-value is at most the rate exactly where the score exceeds the conformal threshold of that rate, as long as
    the calibration set is large enough for the rate. Super-uniform for exchangeable scores (Vovk et al. 2005).

    Args:
        scores: scores of new windows, any shape.
        calibration_scores: scores of normal windows, shape (n_windows,).

    Raises:
        CalibrationError: no calibration scores, or nan among any scores.
    """
    reference = np.sort(checked_scores(calibration_scores))
    values = np.asarray(scores, dtype=np.float64)
    if np.isnan(values).any():
        msg = f"{int(np.isnan(values).sum())} of {values.size} scores are nan: drop windows that could not be scored"
        raise CalibrationError(msg)
    at_least = reference.size - np.searchsorted(reference, values, side="left")
    return (1 + at_least) / (reference.size + 1)


def _warned(threshold: Threshold, warning: str) -> Threshold:
    return threshold.model_copy(update={"warnings": (warning, *threshold.warnings)})
