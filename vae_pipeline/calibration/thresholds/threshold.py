"""The threshold as an object: its value, how it came about and what it promises."""

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, FiniteFloat

from vae_pipeline.calibration.thresholds.notes import NOTES
from vae_pipeline.errors import CalibrationError, DataError
from vae_pipeline.records import Record

__all__ = ["FEW_SCORES", "Threshold", "checked_rate", "checked_scores", "constant", "made"]

FEW_SCORES = 20


class Threshold(Record):
    """A score above ``value`` is an alarm.

    Attributes:
        value: the cut, in units of the score; always finite.
        method: the method that set the value; a fallback names the one fallen back to and adds a warning.
        false_alarm_rate: the intended share of alarms among normal windows; None where none was intended.
        parameters: what was fitted or counted on the way, finite numbers only.
        guarantee: one sentence on what may be relied on.
        warnings: one sentence for every reason to doubt the value.
        n_scores: number of calibration scores used.
    """

    value: FiniteFloat
    method: str
    false_alarm_rate: float | None
    parameters: dict[str, FiniteFloat] = Field(default_factory=dict)
    guarantee: str
    warnings: tuple[str, ...] = ()
    n_scores: int

    def decide(self, scores: ArrayLike) -> np.ndarray:
        """Whether each score is an alarm, same shape as ``scores``, bool.

        Compared in float64: a float32 comparison would round the threshold first. Infinite scores are alarms.

        Raises:
            DataError: a score is nan, which would otherwise pass as normal.
        """
        values = np.asarray(scores, dtype=np.float64)
        missing = int(np.isnan(values).sum())
        if missing:
            msg = f"{missing} of {values.size} scores are nan: decide only on windows that could be scored"
            raise DataError(msg)
        return values > self.value


def checked_scores(scores: ArrayLike) -> np.ndarray:
    """The scores as float64, shape (n_windows,).

    Raises:
        CalibrationError: no scores, not one-dimensional, or not all finite.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1:
        msg = f"calibration scores have shape {values.shape}: pass one score per window"
        raise CalibrationError(msg)
    if not values.size:
        msg = "there are no calibration scores: set aside normal units for the calibration part (split.calibrate)"
        raise CalibrationError(msg)
    broken = int(values.size - np.isfinite(values).sum())
    if broken:
        msg = f"{broken} of {values.size} calibration scores are nan or infinite: check the model and the scaling"
        raise CalibrationError(msg)
    return values


def checked_rate(false_alarm_rate: float) -> float:
    """The rate as it is.

    Raises:
        CalibrationError: it does not lie strictly between 0 and 1.
    """
    if not 0.0 < false_alarm_rate < 1.0:
        msg = f"false_alarm_rate is {false_alarm_rate}: state a share between 0 and 1, such as 0.01"
        raise CalibrationError(msg)
    return float(false_alarm_rate)


def made(
    method: str,
    value: float,
    scores: np.ndarray,
    false_alarm_rate: float | None,
    parameters: dict[str, float] | None = None,
    *,
    warnings: tuple[str, ...] = (),
    guarantee: str | None = None,
) -> Threshold:
    """A threshold with the warnings that every method shares: few scores and heavy ties.

    Raises:
        CalibrationError: the value overflowed.
    """
    if not np.isfinite(value):
        msg = f"the {method} threshold overflowed: rescale the scores, whose largest is {scores.max():.3g}"
        raise CalibrationError(msg)
    shared: list[str] = []
    if scores.size < FEW_SCORES:
        shared.append(f"only {scores.size} calibration scores, {FEW_SCORES} or more are needed for a stable threshold")
    distinct = np.unique(scores).size
    if 1 < distinct < scores.size / 2:
        shared.append(
            f"heavy ties: {distinct} distinct values among {scores.size} scores, alarms may be rarer than asked"
        )
    return Threshold(
        value=float(value),
        method=method,
        false_alarm_rate=false_alarm_rate,
        parameters={name: float(number) for name, number in (parameters or {}).items()},
        guarantee=guarantee or NOTES[method].guarantee,
        warnings=(*warnings, *shared),
        n_scores=int(scores.size),
    )


def constant(method: str, scores: np.ndarray, false_alarm_rate: float | None) -> Threshold | None:
    """A threshold just above scores that are all equal, None when they are not.

    The margin is two float32 steps, so that the same score computed once more in float32 does not alarm.
    """
    level = float(scores[0])
    if scores.min() != scores.max():
        return None
    margin = max(abs(level) * 2.0**-22, float(np.finfo(np.float32).tiny))
    return made(
        method,
        level + margin,
        scores,
        false_alarm_rate,
        parameters={"constant": level},
        warnings=(f"all calibration scores equal {level:.6g}: anything above alarms, check the model",),
        guarantee="Scores equal to the calibration scores do not alarm; nothing is known of how scores spread.",
    )
