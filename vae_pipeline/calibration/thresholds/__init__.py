"""Scores to decisions: fixed thresholds with stated guarantees, and one that follows a stream.

The names are loaded when they are asked for: a service needs `Threshold` alone and starts without scipy's statistics.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vae_pipeline.calibration.thresholds.dynamic import DynamicThreshold
    from vae_pipeline.calibration.thresholds.extreme_values import block_maxima, peaks_over_threshold
    from vae_pipeline.calibration.thresholds.methods import METHODS, choose
    from vae_pipeline.calibration.thresholds.notes import describe
    from vae_pipeline.calibration.thresholds.quantiles import conformal, conformal_p_values, gaussian, mad, percentile
    from vae_pipeline.calibration.thresholds.supervised import best_f1
    from vae_pipeline.calibration.thresholds.threshold import Threshold

__all__ = [
    "METHODS",
    "DynamicThreshold",
    "Threshold",
    "best_f1",
    "block_maxima",
    "choose",
    "conformal",
    "conformal_p_values",
    "describe",
    "gaussian",
    "mad",
    "peaks_over_threshold",
    "percentile",
]

_FOUND_IN = {
    "dynamic": ("DynamicThreshold",),
    "extreme_values": ("block_maxima", "peaks_over_threshold"),
    "methods": ("METHODS", "choose"),
    "notes": ("describe",),
    "quantiles": ("conformal", "conformal_p_values", "gaussian", "mad", "percentile"),
    "supervised": ("best_f1",),
    "threshold": ("Threshold",),
}


def __getattr__(name: str) -> Any:
    for module, names in _FOUND_IN.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
