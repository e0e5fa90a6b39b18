"""Scores to decisions: fixed thresholds with stated guarantees, and one that follows a stream."""

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
