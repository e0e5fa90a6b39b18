"""How good a network is for tuning: what it separates on the calibration part. No sample of the test part is read.

Windows of tables are told from anomalous calibration windows where units carry labels, from synthetic faults where they
do not. Normal recordings are told from the same with a few bands louder, normal images from the same with anomalies
that the network was never trained on.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vae_pipeline.calibration.faults import FAULTS, inject, louder
from vae_pipeline.calibration.scorers import Observation, averaged
from vae_pipeline.calibration.separation import average_precision, roc_auc
from vae_pipeline.detector.calibrate import calibrate
from vae_pipeline.detector.report import CalibrationReport
from vae_pipeline.detector.sounds import SoundDetector
from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline.features.image_anomalies import HELD_OUT, planes, salience, with_anomalies
from vae_pipeline.features.image_set import ImageSet
from vae_pipeline.features.windows import Windows, evenly
from vae_pipeline.records import Dataset, Record

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Separation", "probe", "separation"]

FAULT_SIZE = 3.0
"""Of a fault in one sensor, in healthy standard deviations."""

BAND_SIZE = 0.5
"""Of a fault in three neighbouring mel bands: it lasts for the whole recording, so little is enough to be seen."""

PROBED = 1000
"""Windows looked at after every epoch."""

PROBED_IMAGES = 24
TOP = 0.005


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
    bands = _drawn_bands(windows.channels, int(units.max()) + 1)

    def faulty() -> Iterator[tuple[Observation, np.ndarray]]:
        for first in range(0, len(windows), PROBED):
            some = slice(first, first + PROBED)
            changed = louder(windows.take(some), bands[units[some]], BAND_SIZE)
            yield detector.session.observe(changed), units[some]

    _, summary = averaged(faulty(), detector.scorer.late)
    anomalous = detector.scorer.combine(detector.scorer.parts(summary))
    scores = np.concatenate([detector.reference["scores"], anomalous])
    positive = np.arange(len(scores)) >= len(scores) - len(anomalous)
    roc, precision = roc_auc(scores, positive), average_precision(scores, positive)
    return Separation(value=(roc + precision) / 2, roc_auc=roc, pr_auc=precision, criterion="synthetic faults")


def _drawn_bands(bands: int, units: int) -> np.ndarray:
    return np.random.default_rng(0).integers(bands, size=units)


def probe(dataset: Dataset, features: Path) -> "Callable[[nn.Module], float]":
    """A cheap stand-in for `separation` of a network that is still being trained: ROC-AUC of its plain error.

    Unlike the validation loss it can be compared between trials of different beta, latents or losses.
    """
    images = dataset.medium == "image"
    batch, positive = _images(ImageSet.open(features)) if images else _windows(FeatureSet.open(features))

    def judged(network: "nn.Module") -> float:
        import torch

        training, place = network.training, next(network.parameters()).device
        network.eval()
        with torch.no_grad():
            found = [
                _error(torch.from_numpy(batch[first : first + 64]).to(place), network, images=images)
                for first in range(0, len(batch), 64)
            ]
        network.train(training)
        return roc_auc(np.concatenate(found), positive)

    return judged


def _error(samples: Any, network: Any, *, images: bool) -> np.ndarray:
    """One number a sample: the mean square, of images the mean of the highest values of the head or the error."""
    shown, _, *found = network.observe(samples)
    if not images:
        return (samples - shown).square().mean((1, 2)).cpu().numpy()
    error = found[0] if found else (samples.float() / 255.0 - shown).abs().mean(-1)
    flat = error.flatten(1)
    return flat.topk(max(1, round(TOP * flat.shape[1]))).values.mean(1).cpu().numpy()


def _windows(features: FeatureSet) -> tuple[np.ndarray, np.ndarray]:
    """Calibration windows (n, channels, time) and which are anomalous, by label or by a fault put into them."""
    windows = features.windows("calibrate")
    labels = features.labels(windows)
    anomalous, normal = np.flatnonzero(labels == 1), np.flatnonzero(labels != 1)
    normal = normal[evenly(len(normal), PROBED)]
    clean = windows.take(normal)
    changed = windows.take(anomalous[evenly(len(anomalous), PROBED)]) if len(anomalous) else _faulty(windows, normal)
    return np.concatenate([clean, changed]), np.arange(len(clean) + len(changed)) >= len(clean)


def _faulty(windows: Windows, normal: np.ndarray) -> np.ndarray:
    random, found = np.random.default_rng(0), []
    for number, kind in enumerate(FAULTS):
        batch = windows.take(normal[number :: len(FAULTS)])
        sensor = random.integers(windows.channels, size=len(batch))
        found.append(inject(batch, kind, sensor, FAULT_SIZE, seed=number))
    return np.concatenate(found)


def _images(images: ImageSet) -> tuple[np.ndarray, np.ndarray]:
    """Calibration images uint8 (n, size, size, 3) and which have an anomaly put into them."""
    index = images.index("calibrate")
    index = index[images.label[index] != 1]
    index = index[evenly(len(index), PROBED_IMAGES)]
    random, chance = np.random.default_rng(0), salience(images.pixels, index)
    clean = planes(images.pixels[index])
    donors = planes(images.pixels[random.permutation(index)])
    everyone = np.ones(len(index), dtype=bool)
    found = [clean, *(with_anomalies(clean, donors, everyone, (kind,), chance, random)[0] for kind in HELD_OUT)]
    batch = (np.concatenate(found).transpose(0, 2, 3, 1) * 255).round().astype(np.uint8)
    return np.ascontiguousarray(batch), np.arange(len(batch)) >= len(clean)
