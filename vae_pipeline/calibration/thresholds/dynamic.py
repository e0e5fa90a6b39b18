"""A threshold for streams that follows slow changes of the level."""

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike
from pydantic import Field, FiniteFloat, ValidationError

from vae_pipeline.calibration.thresholds.extreme_values import FEWEST_EXCESSES, excess_quantile, moment_fit
from vae_pipeline.calibration.thresholds.threshold import Threshold, checked_rate, checked_scores
from vae_pipeline.errors import CalibrationError, DataError
from vae_pipeline.records import Record

__all__ = ["DynamicState", "DynamicThreshold"]

# alarms may feed the tail at up to three times the intended rate: enough to correct a value that is too low
CREDIT_RATE = 3.0
MOST_CREDIT = 5.0


class DynamicState(Record):
    """Everything a DynamicThreshold knows, as written to JSON; at most ``depth + 2 * reservoir`` numbers."""

    false_alarm_rate: float = Field(gt=0.0, lt=0.5)
    depth: int = Field(ge=2)
    reservoir: int = Field(ge=FEWEST_EXCESSES)
    refit_every: int = Field(ge=1)
    max_shift: FiniteFloat | None = Field(default=None, ge=0.0)
    start_level: FiniteFloat
    spread: FiniteFloat = Field(gt=0.0)
    peak: FiniteFloat
    offset: FiniteFloat
    shape: FiniteFloat = Field(lt=1.0)
    scale: FiniteFloat = Field(gt=0.0)
    window: tuple[FiniteFloat, ...] = Field(min_length=1)
    excesses: tuple[FiniteFloat, ...] = Field(min_length=1)
    gaps: tuple[int, ...] = Field(min_length=1)
    since_excess: int = Field(default=0, ge=0)
    since_refit: int = Field(default=0, ge=0)
    credit: float = Field(default=0.0, ge=0.0)
    imputed: int = Field(default=0, ge=0)
    seen: int = Field(default=0, ge=0)
    alarms: int = Field(default=0, ge=0)


class DynamicThreshold:
    """Streaming peaks over threshold with drift: DSPOT (Siffer et al., KDD 2017, algorithms 2 and 3), with changes.

    The threshold is ``level + offset``. The level is the mean of the last ``depth`` scores that did not alarm. The
    offset is the generalised Pareto quantile of the deviations from the level, refitted by moments every
    ``refit_every`` excesses over a fixed peak, of which the last ``reservoir`` are kept. The first threshold is the
    fixed one it starts from, and its offset stays until the first refit.

    The original forgets alarms, which cuts the tail off at the threshold and lowers the next one; at rates around
    0.01 the rate then drifts up. Here an alarm is replaced by a draw of the fitted tail beyond the threshold (a fixed
    low-discrepancy sequence: the same stream gives the same decisions). Only scores that do not alarm earn the credit
    for that, three times the intended rate, so a lasting anomaly moves neither level nor offset noticeably.

    Guarantee: for a stream like the calibration scores, apart from a level that moves little within ``depth`` scores,
    the share of alarms stays near the intended rate; no finite-sample bound. A movement of d per score costs a lag
    of ``d * depth / 2``.

    It fails where degradation is slow against ``depth``: it becomes the new normal, unless ``max_shift`` bounds the
    level; where the level jumps for good: it alarms until started anew; where the stream grows much quieter: the
    offset never falls below the peak learnt at calibration; where scores are periodic over more than ``depth``.
    """

    def __init__(self, state: DynamicState) -> None:
        """Continue from ``state``; see ``start`` for a fresh one."""
        self._state = state
        self._window: deque[float] = deque(state.window, maxlen=state.depth)
        self._excesses: deque[float] = deque(state.excesses, maxlen=state.reservoir)
        self._gaps: deque[int] = deque(state.gaps, maxlen=state.reservoir)
        self._offset, self._shape, self._scale = state.offset, state.shape, state.scale
        self._since_excess, self._since_refit = state.since_excess, state.since_refit
        self._credit, self._imputed = state.credit, state.imputed
        self._seen, self._alarms = state.seen, state.alarms

    @classmethod
    def start(
        cls,
        threshold: Threshold,
        calibration_scores: ArrayLike,
        *,
        false_alarm_rate: float | None = None,
        depth: int = 200,
        excess_share: float = 0.05,
        reservoir: int = 1000,
        refit_every: int = 20,
        max_shift: float | None = None,
    ) -> "DynamicThreshold":
        """A dynamic threshold whose first value is the fixed one.

        Args:
            threshold: the fixed threshold to start from.
            calibration_scores: normal scores of one stream in order of time, shape (n_windows,); with more than
                twice ``depth`` of them the tail is learnt from deviations from the preceding ``depth`` scores, else
                from deviations from their mean.
            false_alarm_rate: the threshold's own when left out.
            depth: scores averaged for the level.
            excess_share: share of the scores taken as the tail; at least twice the rate is taken.
            reservoir: excesses kept.
            refit_every: excesses between two fits.
            max_shift: how far the level may move from where it starts, in standard deviations of the calibration
                deviations; without bound when left out.

        Raises:
            CalibrationError: scores that are not finite or all equal, fewer than 20 excesses among them, no rate, a
                rate not below 0.5, or a size out of range.
        """
        values = checked_scores(calibration_scores)
        rate = threshold.false_alarm_rate if false_alarm_rate is None else false_alarm_rate
        if rate is None:
            msg = f"a {threshold.method} threshold intends no rate: state false_alarm_rate for the dynamic threshold"
            raise CalibrationError(msg)
        if checked_rate(rate) >= 0.5:
            msg = f"false_alarm_rate is {rate}: a dynamic threshold follows tails, state a rate below 0.5"
            raise CalibrationError(msg)
        if depth < 2:
            msg = f"depth is {depth}: state how many scores, at least 2, make the level"
            raise CalibrationError(msg)
        deviations = values - values.mean()
        if values.size > 2 * depth:
            deviations = values[depth:] - sliding_window_view(values, depth)[:-1].mean(axis=1)
        peak = float(np.quantile(deviations, 1 - min(max(excess_share, 2 * rate), 0.5)))
        places = np.flatnonzero(deviations > peak)
        if places.size < FEWEST_EXCESSES:
            msg = (
                f"{places.size} of {values.size} calibration scores are excesses, {FEWEST_EXCESSES} are needed: "
                "calibrate on more windows or raise excess_share"
            )
            raise CalibrationError(msg)
        gaps = np.diff(places, prepend=-1)
        shape, scale = moment_fit(deviations[places] - peak)
        window = values[-depth:]
        level = math.fsum(window) / window.size
        fields = {
            "false_alarm_rate": rate,
            "depth": depth,
            "reservoir": reservoir,
            "refit_every": refit_every,
            "max_shift": max_shift,
            "start_level": level,
            "spread": float(deviations.std()),
            "peak": peak,
            "offset": threshold.value - level,
            "shape": shape,
            "scale": scale,
            "window": tuple(window.tolist()),
            "excesses": tuple((deviations[places] - peak)[-reservoir:].tolist()),
            "gaps": tuple(gaps[-reservoir:].tolist()),
            "since_excess": int(deviations.size - 1 - places[-1]),
        }
        return cls(_checked_state(fields))

    @property
    def level(self) -> float:
        """The current level of normal scores, kept within ``max_shift``."""
        level = math.fsum(self._window) / len(self._window)
        if self._state.max_shift is None:
            return level
        reach = self._state.max_shift * self._state.spread
        return min(max(level, self._state.start_level - reach), self._state.start_level + reach)

    @property
    def value(self) -> float:
        """The threshold for the next score."""
        return self.level + self._offset

    @property
    def seen(self) -> int:
        """Scores seen since the start."""
        return self._seen

    @property
    def alarms(self) -> int:
        """Alarms since the start."""
        return self._alarms

    def update(self, score: float) -> tuple[float, bool]:
        """The threshold that applies to ``score``, whether it alarms; afterwards the state has learnt from it.

        An infinite score alarms.

        Raises:
            DataError: the score is nan; the state stays as it was.
        """
        if math.isnan(score):
            msg = f"score {self._seen + 1} of the stream is nan: skip windows that could not be scored"
            raise DataError(msg)
        level = self.level
        value = level + self._offset
        alarm = bool(score > value)
        self._seen += 1
        if alarm:
            self._alarms += 1
            self._learn_alarm(value)
        elif score == -math.inf:
            pass  # says nothing of the level
        else:
            self._credit = min(self._credit + CREDIT_RATE * self._state.false_alarm_rate, MOST_CREDIT)
            self._window.append(float(score))
            self._learn(float(score) - level - self._state.peak)
        return value, alarm

    def to_dict(self) -> dict[str, Any]:
        """The whole state in types that JSON knows."""
        now = {
            "offset": self._offset,
            "shape": self._shape,
            "scale": self._scale,
            "window": tuple(self._window),
            "excesses": tuple(self._excesses),
            "gaps": tuple(self._gaps),
            "since_excess": self._since_excess,
            "since_refit": self._since_refit,
            "credit": self._credit,
            "imputed": self._imputed,
            "seen": self._seen,
            "alarms": self._alarms,
        }
        return self._state.model_copy(update=now).model_dump(mode="json")

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> "DynamicThreshold":
        """The threshold that ``to_dict`` wrote; it decides as the original would have.

        Raises:
            CalibrationError: fields are missing, unknown or out of range.
        """
        return cls(_checked_state(state))

    def _learn_alarm(self, value: float) -> None:
        """Put a draw of the fitted tail beyond the threshold in place of the alarm, while there is credit."""
        if self._credit < 1.0:
            return
        self._credit -= 1.0
        self._imputed += 1
        # the level takes no more than the threshold from an alarm
        self._window.append(value)
        beyond = max(self._offset - self._state.peak, 0.0)
        # a Pareto tail beyond a point is Pareto again, with its scale moved along
        scale = max(self._scale + self._shape * beyond, 0.1 * self._scale)
        self._learn(beyond + excess_quantile(1.0 - _van_der_corput(self._imputed), self._shape, scale))

    def _learn(self, excess: float) -> None:
        self._since_excess += 1
        if excess <= 0.0:
            return
        self._excesses.append(excess)
        self._gaps.append(self._since_excess)
        self._since_excess = 0
        self._since_refit += 1
        if self._since_refit >= self._state.refit_every:
            self._refit()

    def _refit(self) -> None:
        self._since_refit = 0
        self._shape, self._scale = moment_fit(np.fromiter(self._excesses, dtype=np.float64))
        share = len(self._excesses) / (sum(self._gaps) + self._since_excess)
        self._offset = self._state.peak + excess_quantile(
            self._state.false_alarm_rate / share, self._shape, self._scale
        )


def _checked_state(fields: Mapping[str, Any]) -> DynamicState:
    try:
        state = DynamicState.model_validate(dict(fields))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        msg = f"the dynamic threshold's state cannot be used: {place}: {first['msg']}; calibrate anew"
        raise CalibrationError(msg) from error
    if len(state.excesses) != len(state.gaps):
        msg = f"the dynamic threshold holds {len(state.excesses)} excesses but {len(state.gaps)} gaps: calibrate anew"
        raise CalibrationError(msg)
    return state


def _van_der_corput(number: int) -> float:
    """The base-2 van der Corput sequence, in (0, 1) for numbers from 1."""
    value, weight = 0.0, 0.5
    while number:
        number, bit = divmod(number, 2)
        value += bit * weight
        weight /= 2
    return value
