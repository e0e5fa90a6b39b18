"""How good a network is for tuning: what it separates on the calibration part. No sample of the test part is read.

Windows of tables are told from anomalous calibration windows where units carry labels, from synthetic faults where they
do not. Normal recordings are told from the same with a few bands louder, normal images from the same with anomalies
that the network was never trained on.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vae_pipeline.calibration.faults import louder
from vae_pipeline.calibration.scorers import Observation, averaged
from vae_pipeline.calibration.separation import average_precision, roc_auc
from vae_pipeline.detector.calibrate import calibrate
from vae_pipeline.detector.report import CalibrationReport
from vae_pipeline.detector.sounds import SoundDetector
from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline.records import Dataset, Record

__all__ = ["BAND_SIZE", "Separation", "drawn_bands", "separation"]

BAND_SIZE = 0.5
"""Of a fault in three neighbouring mel bands: it lasts for the whole recording, so little is enough to be seen."""

BATCH = 1000


class Separation(Record):
    """What a trial is judged by: ``value``, the mean of the two areas.

    ``pr_auc`` is that of samples; of images the ROC-AUC of pixels stands in its place. ``criterion`` says what normal
    calibration samples were told from.
    """

    value: float
    roc_auc: float
    pr_auc: float
    criterion: str


def separation(dataset: Dataset, data_version: str, features: Path, network: Path) -> Separation:
    """How well the calibrated detector of a network tells normal calibration samples from anomalous ones.

    Args:
        dataset: its ``calibration`` decides the form of the score where it is stated.
        data_version: of the features.
        features: the features folder.
        network: the exported ``model.onnx``.

    Raises:
        CalibrationError: too few calibration samples, or scores that are not finite.
    """
    detector, report = calibrate(dataset, data_version, features, network)
    if isinstance(detector, SoundDetector):
        return _of_clips(detector, FeatureSet.open(features))
    return _of_report(report, detector.description.form)


def _of_report(report: CalibrationReport, form: tuple[str, ...]) -> Separation:
    """The figures of the chosen form; of the best one where a form was stated that is not compared."""
    figures = [figure for figure in report.forms if figure.form == form] or list(report.forms)
    figure = max(figures, key=lambda item: item.both)
    second = figure.pr_auc if figure.pixel_roc_auc is None else figure.pixel_roc_auc
    return Separation(
        value=(figure.roc_auc + second) / 2, roc_auc=figure.roc_auc, pr_auc=second, criterion=report.criterion
    )


def _of_clips(detector: SoundDetector, features: FeatureSet) -> Separation:
    windows = features.windows("calibrate")
    windows = windows.subset(features.labels(windows) != 1)
    units = features.units(windows)
    bands = drawn_bands(windows.channels, int(units.max()) + 1)

    def faulty() -> Iterator[tuple[Observation, np.ndarray]]:
        for first in range(0, len(windows), BATCH):
            some = slice(first, first + BATCH)
            changed = louder(windows.take(some), bands[units[some]], BAND_SIZE)
            yield detector.session.observe(changed), units[some]

    _, summary = averaged(faulty(), detector.scorer.late)
    anomalous = detector.scorer.combine(detector.scorer.parts(summary))
    scores = np.concatenate([detector.reference["scores"], anomalous])
    positive = np.arange(len(scores)) >= len(scores) - len(anomalous)
    roc, precision = roc_auc(scores, positive), average_precision(scores, positive)
    return Separation(value=(roc + precision) / 2, roc_auc=roc, pr_auc=precision, criterion="synthetic faults")


def drawn_bands(bands: int, units: int) -> np.ndarray:
    """The first of three neighbouring bands that are louder in each unit, shape (units,)."""
    return np.random.default_rng(0).integers(bands, size=units)
