"""Which rows are anomalous, which may be fitted on, and what that makes of windows."""

import numpy as np

from vae_pipeline.errors import DataError
from vae_pipeline.records import Labels

__all__ = ["row_labels", "whole_windows"]


def row_labels(
    rule: Labels,
    *,
    rows: int,
    training: bool,
    remaining_life: np.ndarray | None = None,
    label: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Label and health of every row.

    Run-to-failure: anomalous below ``rule.anomalous_below`` cycles of remaining life, healthy from
    ``rule.healthy_from``; the rows between are neither anomalous nor fitted on; where the remaining life
    is unknown, a label of 0 or 1 speaks. With a label column rows are healthy
    unless labelled 1; without labels all are. Only rows of the training file are ever healthy.

    Args:
        rule: the dataset's ``labels``.
        rows: number of rows n.
        training: the rows stand in the training file.
        remaining_life: cycles to failure, shape (n,), NaN where unknown.
        label: 1 anomalous, 0 normal, -1 unknown, shape (n,).

    Returns:
        label int8 (-1 unknown, 0 normal, 1 anomalous) and healthy bool, shape (n,) each.

    Raises:
        DataError: the rule needs remaining life and the training table has none.
    """
    if rule.run_to_failure and remaining_life is not None:
        with np.errstate(invalid="ignore"):
            anomalous = remaining_life < rule.anomalous_below
            healthy = remaining_life >= rule.healthy_from
        unknown = np.isnan(remaining_life)
        stated = np.full(rows, -1, dtype=np.int8) if label is None else np.asarray(label, dtype=np.int8)
        found = np.where(unknown, stated, anomalous).astype(np.int8)
        healthy |= unknown & (stated == 0)
    elif rule.run_to_failure and training:
        msg = (
            "train.parquet: no column 'remaining_life', which labels.healthy_from needs; "
            "add it or leave labels.healthy_from and labels.anomalous_below out"
        )
        raise DataError(msg)
    else:
        found = np.full(rows, -1, dtype=np.int8) if label is None else np.asarray(label, dtype=np.int8)
        healthy = found != 1
    return found, healthy if training else np.zeros(rows, dtype=bool)


def whole_windows(flags: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """Whether ``flags`` holds on every row of each window, shape (n_windows,), bool.

    One running sum over the rows answers all windows, so memory does not grow with their length.

    Args:
        flags: per row, shape (n_rows,), bool.
        starts: offset of each window's first row, shape (n_windows,).
        length: rows in a window.
    """
    total = np.concatenate([[0], np.cumsum(flags, dtype=np.int64)])
    return total[starts + length] - total[starts] == length
