"""After every epoch: how well the network that would be kept separates some calibration samples.

A cheap stand-in for `vae_pipeline.experiments.objective.separation`, of which it takes the score where that is of
windows. The validation loss would cost nothing, but says nothing between trials of different beta, latents or losses.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from vae_pipeline.calibration.faults import faulty_batches, louder
from vae_pipeline.calibration.scorers import Observation, WindowScorer
from vae_pipeline.calibration.separation import average_precision, roc_auc
from vae_pipeline.detector.window_calibration import DEFAULT_FORM
from vae_pipeline.experiments.objective import BAND_SIZE, drawn_bands
from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline.features.image_anomalies import HELD_OUT, as_pictures, planes, salience, with_anomalies
from vae_pipeline.features.image_set import ImageSet
from vae_pipeline.features.windows import evenly
from vae_pipeline.records import Calibration, Dataset

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Probe", "probe"]

Probe = Callable[["nn.Module"], float]
"""Gives the mean of ROC-AUC and PR-AUC that a network reaches."""

NORMAL = 1000
"""Windows of the fit part, and as many normal ones of the calibration part."""

ANOMALOUS = 500
IMAGES = 24
TOP = 0.005
BATCH = 128


def probe(dataset: Dataset, features: Path) -> Probe:
    """What to look at a network with after every epoch; samples are read once."""
    if dataset.medium == "image":
        return _of_images(ImageSet.open(features))
    return _of_windows(dataset, FeatureSet.open(features))


def _of_windows(dataset: Dataset, features: FeatureSet) -> Probe:
    stated = cast("Calibration", dataset.calibration)
    late = min(stated.late or max(1, features.length // 5), features.length)
    fitted = features.windows("fit", healthy_only=True)
    healthy = fitted.take(evenly(len(fitted), NORMAL))
    windows = features.windows("calibrate")
    labels = features.labels(windows)
    normal, anomalous = np.flatnonzero(labels != 1), np.flatnonzero(labels == 1)
    normal = normal[evenly(len(normal), NORMAL)]
    if len(anomalous):
        changed = windows.take(anomalous[evenly(len(anomalous), ANOMALOUS)])
    elif dataset.medium == "sound":
        units = features.units(windows)[normal]
        bands = drawn_bands(windows.channels, int(units.max()) + 1)
        changed = louder(windows.take(normal), bands[units], BAND_SIZE)
    else:
        changed = np.concatenate(list(faulty_batches(windows, normal, np.random.default_rng(0))))
    judged = np.concatenate([windows.take(normal), changed])
    positive = np.arange(len(judged)) >= len(normal)

    def look(network: "nn.Module") -> float:
        shown, latent, *_ = _observed(network, np.concatenate([healthy, judged]))
        first, rest = slice(len(healthy)), slice(len(healthy), None)
        scorer = WindowScorer.fit([Observation(healthy, shown[first], latent[first])], late)
        parts = scorer.parts(Observation(judged, shown[rest], latent[rest]))
        scorer = replace(scorer.standardised(parts[~positive]), form=stated.score or DEFAULT_FORM)
        return _areas(scorer.combine(parts), positive)

    return look


def _of_images(images: ImageSet) -> Probe:
    index = images.index("calibrate")
    index = index[images.label[index] != 1]
    index = index[evenly(len(index), IMAGES)]
    random, chance = np.random.default_rng(0), salience(images.pixels, index)
    clean = planes(images.pixels[index])
    donors = planes(images.pixels[random.permutation(index)])
    everyone = np.ones(len(index), dtype=bool)
    found = [clean, *(with_anomalies(clean, donors, everyone, (kind,), chance, random)[0] for kind in HELD_OUT)]
    batch = as_pictures(np.concatenate(found))
    positive = np.arange(len(batch)) >= len(clean)

    def look(network: "nn.Module") -> float:
        shown, _, *head = _observed(network, batch)
        error = head[0] if head else np.abs(batch / 255.0 - shown).mean(-1)
        flat = error.reshape(len(batch), -1)
        highest = max(1, round(TOP * flat.shape[1]))
        return _areas(np.partition(flat, -highest, axis=1)[:, -highest:].mean(1), positive)

    return look


def _observed(network: Any, samples: np.ndarray) -> list[np.ndarray]:
    """What `observe` gives of all samples; the network is left in the mode it was in, and no number is drawn."""
    import torch

    training, place = network.training, next(network.parameters()).device
    network.eval()
    with torch.no_grad():
        batches = [
            [
                found.cpu().numpy()
                for found in network.observe(torch.from_numpy(samples[first : first + BATCH]).to(place))
            ]
            for first in range(0, len(samples), BATCH)
        ]
    network.train(training)
    return [np.concatenate(found) for found in zip(*batches, strict=True)]


def _areas(scores: np.ndarray, positive: np.ndarray) -> float:
    return (roc_auc(scores, positive) + average_precision(scores, positive)) / 2
