"""How well a score separates two groups of calibration windows; no test label ever comes here."""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
from scipy.stats import rankdata

__all__ = ["average_precision", "clearly_best", "roc_auc"]

K = TypeVar("K")


def roc_auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties counted half.

    Args:
        scores: shape (n,).
        positive: boolean, shape (n,), with both values present.
    """
    n_positive = int(positive.sum())
    ranks = rankdata(scores)[positive].sum()
    return float((ranks - n_positive * (n_positive + 1) / 2) / (n_positive * (len(scores) - n_positive)))


def average_precision(scores: np.ndarray, positive: np.ndarray) -> float:
    """Area under the precision-recall curve as the step-wise sum over distinct scores."""
    order = np.argsort(-scores, kind="stable")
    hits = positive[order]
    last_of_tie = np.append(np.diff(scores[order]) != 0, True)
    found = np.cumsum(hits)[last_of_tie]
    asked = np.flatnonzero(last_of_tie) + 1
    recall_steps = np.diff(found, prepend=0) / max(int(positive.sum()), 1)
    return float(np.sum(recall_steps * found / asked))


def clearly_best(figures: Mapping[K, float], default: K, margin: float) -> K:
    """The form with the highest figure where that is above the default's by more than ``margin``, else the default."""
    best = max(figures, key=lambda form: figures[form])
    return best if figures[best] > figures[default] + margin else default
