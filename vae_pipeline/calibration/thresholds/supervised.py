"""The threshold for calibration scores that are labelled."""

import numpy as np
from numpy.typing import ArrayLike

from vae_pipeline.calibration.thresholds.threshold import FEW_SCORES, Threshold, checked_scores, constant, made
from vae_pipeline.errors import CalibrationError

__all__ = ["best_f1", "checked_labels"]


def best_f1(scores: ArrayLike, labels: ArrayLike) -> Threshold:
    """The cut of highest F1 = 2 TP / (2 TP + FP + FN) among all cuts, in the middle between neighbouring scores.

    Among cuts of equal F1 the highest wins: fewest alarms. Scores labelled -1 are left out. Parameters: ``f1``,
    ``precision``, ``recall`` and ``false_alarm_rate`` on the calibration scores, ``anomalous`` and ``normal`` counts.

    Args:
        scores: calibration scores, shape (n_windows,).
        labels: 1 anomalous, 0 normal, -1 unknown, shape (n_windows,).

    Raises:
        CalibrationError: no scores, scores that are not finite, other labels, or only one of the two classes.
    """
    values = checked_scores(scores)
    known = checked_labels(labels, values.size)
    values, known = values[known >= 0], known[known >= 0]
    anomalous, normal = int((known == 1).sum()), int((known == 0).sum())
    if not anomalous or not normal:
        msg = (
            f"best_f1 needs both classes, the calibration part holds {anomalous} anomalous and {normal} normal "
            "windows: set calibration.threshold to conformal"
        )
        raise CalibrationError(msg)
    if (flat := constant("best_f1", values, None)) is not None:
        return flat
    levels, place = np.unique(values, return_inverse=True)
    # alarms when the cut lies just below each level, from the lowest level (everything alarms) up
    hits = np.cumsum(np.bincount(place, known == 1, levels.size)[::-1])[::-1]
    false = np.cumsum(np.bincount(place, known == 0, levels.size)[::-1])[::-1]
    f1 = 2 * hits / (hits + false + anomalous)
    best = int(levels.size - 1 - np.argmax(f1[::-1]))
    doubts = []
    if best == 0:
        value = float(np.nextafter(levels[0], -np.inf))
        doubts.append("everything alarms at the best F1: the scores do not separate the classes")
    else:
        value = float(levels[best - 1] / 2 + levels[best] / 2)
        if not levels[best - 1] <= value < levels[best]:  # neighbouring floats have no middle
            value = float(levels[best - 1])
    if anomalous < FEW_SCORES:
        doubts.append(f"only {anomalous} anomalous windows: expect a lower F1 on new data")
    parameters = {
        "f1": f1[best],
        "precision": hits[best] / (hits[best] + false[best]),
        "recall": hits[best] / anomalous,
        "false_alarm_rate": false[best] / normal,
        "anomalous": anomalous,
        "normal": normal,
    }
    return made("best_f1", value, values, None, parameters, warnings=tuple(doubts))


def checked_labels(labels: ArrayLike, n_windows: int) -> np.ndarray:
    """The labels as int8, shape (n_windows,).

    Raises:
        CalibrationError: another number of labels than scores, or labels other than -1, 0 and 1.
    """
    given = np.asarray(labels)
    if given.shape != (n_windows,):
        msg = f"labels have shape {given.shape} for {n_windows} scores: pass one label per window"
        raise CalibrationError(msg)
    other = ~np.isin(given, (-1, 0, 1))
    if other.any():
        msg = f"label {given[other][0]} is none of -1 (unknown), 0 (normal), 1 (anomalous): map the labels first"
        raise CalibrationError(msg)
    return given.astype(np.int8)
