"""A trained network and a features folder to a calibrated detector; test labels never come here."""

from pathlib import Path

from vae_pipeline.detector.clip_calibration import calibrate_clips
from vae_pipeline.detector.detector import Detector
from vae_pipeline.detector.image_calibration import calibrate_images
from vae_pipeline.detector.pair_calibration import calibrate_pairs
from vae_pipeline.detector.report import CalibrationReport
from vae_pipeline.detector.window_calibration import calibrate_windows
from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline.features.image_set import ImageSet
from vae_pipeline.features.pair_set import PairSet
from vae_pipeline.records import Dataset

__all__ = ["calibrate"]


def calibrate(dataset: Dataset, data_version: str, features: Path, network: Path) -> tuple[Detector, CalibrationReport]:
    """Fit the score on normal samples, choose its form and set its threshold on calibration samples.

    Args:
        dataset: its ``calibration`` states the form and the threshold where they are not to be chosen.
        data_version: version of the data the network was fitted on.
        features: the features folder.
        network: the exported ``model.onnx``.

    Raises:
        CalibrationError: too few samples, or scores that are not finite.
    """
    if dataset.medium == "image":
        return calibrate_images(dataset, data_version, ImageSet.open(features), network)
    if dataset.medium == "pair":
        return calibrate_pairs(dataset, data_version, PairSet.open(features), network)
    calibrate_rows = calibrate_clips if dataset.medium == "sound" else calibrate_windows
    return calibrate_rows(dataset, data_version, FeatureSet.open(features), network)
