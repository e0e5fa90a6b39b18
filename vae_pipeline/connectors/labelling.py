"""Labels by a rule, for history that nobody labelled.

A rule is not the truth: a detector that is judged by such labels is judged by the rule. So every batch says which one
made them, with its figures (``labelled_by``).

- ``limits``: a row breaks the rule if a sensor lies outside its lowest and highest normal value.
- ``sigma``: a row breaks the rule if a sensor lies further than ``sigmas`` spreads from its centre. Centre and spread
  are mean and standard deviation (ddof 0) of the sensor over all rows at hand, whatever their unit, the anomalous ones
  among them; with ``robust`` median and 1.4826 MAD, which up to half of the rows cannot move far (Leys et al. 2013,
  J. Exp. Soc. Psychol. 49(4)). A sensor whose spread is 0 breaks no rule.

Only ``at_least`` rows of a unit that break the rule one after the other are labelled 1. A row is unknown (missing)
where it breaks no rule and the value of a judged sensor is missing; it does not end a run of rows and does not count
in it. All other rows are 0.
"""

from typing import Any

import numpy as np
import pandas as pd

from vae_pipeline.connectors.config import LabelRule

__all__ = ["MAD_TO_SD", "label_rows"]

MAD_TO_SD = 1.4826
"""1 / Φ⁻¹(3/4): what makes the MAD of normal values their standard deviation."""


def label_rows(rows: pd.DataFrame, rule: LabelRule) -> tuple[pd.Series, dict[str, Any]]:
    """The label of every row, Int8 (rows,): 1 anomalous, 0 normal, missing unknown; and how it came about.

    Args:
        rows: ``unit`` and sensors; each unit's rows in order of time.
        rule: see above.
    """
    bounds = _limits(rule) if rule.rule == "limits" else _sigma(rows, rule)
    breaks, unknown = np.zeros(len(rows), dtype=bool), np.zeros(len(rows), dtype=bool)
    for name, (low, high) in bounds.items():
        values = rows[name].to_numpy(np.float64)
        breaks |= (values < low) | (values > high)
        unknown |= np.isnan(values)
    unknown &= ~breaks
    breaks = _long_enough(breaks, unknown, rows["unit"].to_numpy(), rule.at_least)
    labels = pd.array(np.where(breaks, 1, 0), dtype="Int8")
    labels[unknown] = pd.NA
    told = {
        "rule": rule.rule,
        "normal": {name: [_finite(low), _finite(high)] for name, (low, high) in bounds.items()},
        "at_least": rule.at_least,
        "truth": False,
    }
    if rule.rule == "sigma":
        told |= {"sigmas": rule.sigmas, "robust": rule.robust, "rows": len(rows)}
    return pd.Series(labels, index=rows.index, name="label"), told


def _limits(rule: LabelRule) -> dict[str, tuple[float, float]]:
    return {
        name: (-np.inf if low is None else low, np.inf if high is None else high)
        for name, (low, high) in rule.limits.items()
    }


def _sigma(rows: pd.DataFrame, rule: LabelRule) -> dict[str, tuple[float, float]]:
    names = rule.sensors or tuple(name for name in rows.columns if name not in ("unit", "time"))
    found = {}
    for name in names:
        values = rows[name].to_numpy(np.float64)
        values = values[np.isfinite(values)]
        found[name] = _around(values, rule) if values.size and np.ptp(values) > 0 else (-np.inf, np.inf)
    return found


def _around(values: np.ndarray, rule: LabelRule) -> tuple[float, float]:
    centre = float(np.median(values)) if rule.robust else float(values.mean())
    spread = MAD_TO_SD * float(np.median(np.abs(values - centre))) if rule.robust else float(values.std())
    reach = rule.sigmas * spread if spread > 0 else np.inf
    return centre - reach, centre + reach


def _long_enough(breaks: np.ndarray, unknown: np.ndarray, units: np.ndarray, least: int) -> np.ndarray:
    """Rows of runs of at least ``least`` breaks; unknown rows are passed over."""
    kept = breaks.copy()
    for unit in pd.unique(units):
        rows = np.flatnonzero((units == unit) & ~unknown)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], breaks[rows].astype(np.int8), [0]])))
        for start, stop in edges.reshape(-1, 2):
            if stop - start < least:
                kept[rows[start:stop]] = False
    return kept


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
