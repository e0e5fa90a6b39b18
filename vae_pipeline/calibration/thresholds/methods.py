"""From the calibration settings to the threshold."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from vae_pipeline.calibration.thresholds.extreme_values import block_maxima, peaks_over_threshold
from vae_pipeline.calibration.thresholds.quantiles import conformal, gaussian, mad, percentile
from vae_pipeline.calibration.thresholds.supervised import best_f1, checked_labels
from vae_pipeline.calibration.thresholds.threshold import Threshold, checked_scores
from vae_pipeline.errors import CalibrationError
from vae_pipeline.records import Thresholding

__all__ = ["METHODS", "choose"]

METHODS: dict[str, Callable[..., Threshold]] = {
    "percentile": percentile,
    "mad": mad,
    "gaussian": gaussian,
    "peaks_over_threshold": peaks_over_threshold,
    "block_maxima": block_maxima,
    "conformal": conformal,
    "best_f1": best_f1,
}
"""Every method by name; all take ``(scores, false_alarm_rate)`` except best_f1, which takes ``(scores, labels)``."""


def choose(scores: ArrayLike, labels: ArrayLike | None, calibration: Thresholding) -> Threshold:
    """The threshold that the settings ask for.

    ``auto`` is best_f1 where both labels occur, else conformal. best_f1 uses the labelled scores, every other method
    all scores that are not labelled 1.

    Args:
        scores: calibration scores in order of time, shape (n_windows,).
        labels: 1 anomalous, 0 normal, -1 unknown, shape (n_windows,); None when nothing is labelled.
        calibration: names the method and the false-alarm rate.

    Raises:
        CalibrationError: no scores, or none that may count as normal; scores that are not finite; bad labels;
            best_f1 asked for without both classes.
    """
    values = checked_scores(scores)
    known = np.full(values.size, -1, dtype=np.int8) if labels is None else checked_labels(labels, values.size)
    name = calibration.threshold
    if name == "auto":
        name = "best_f1" if (known == 1).any() and (known == 0).any() else "conformal"
    if name == "best_f1":
        return best_f1(values, known)
    normal = values[known != 1]
    if not normal.size:
        msg = f"all {values.size} calibration windows are labelled anomalous: {name} needs normal ones"
        raise CalibrationError(msg)
    return METHODS[name](normal, calibration.false_alarm_rate)
