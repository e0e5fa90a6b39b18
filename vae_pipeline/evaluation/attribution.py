"""The detector's score with gradients, and the normal sample that attribution starts from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vae_pipeline.calibration.scorers import PARTS, late_weights
from vae_pipeline.detector.images import ImageDetector
from vae_pipeline.detector.sounds import SoundDetector
from vae_pipeline.detector.windows import WindowDetector
from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline.features.image_set import ImageSet
from vae_pipeline.features.windows import evenly

__all__ = ["Attributor"]

NORMAL = 500
"""Normal calibration samples at most whose median is the baseline."""


@dataclass(frozen=True, eq=False)
class Attributor:
    """Attributes a score to its inputs.

    Attributes:
        score: a torch module that gives a score for each of a batch.
        baseline: the median of normal calibration samples: a window (channels, time), or an image (3, size, size).
    """

    score: Any
    baseline: np.ndarray

    @staticmethod
    def of_windows(trained: Path, detector: WindowDetector, features: FeatureSet) -> "Attributor":
        """For windows of readings; ``trained`` is the folder of the network's weights."""
        from vae_pipeline.models.attribution import WindowScore

        return Attributor(WindowScore(_network(trained), _standard(detector)), _median_window(features))

    @staticmethod
    def of_clips(trained: Path, detector: SoundDetector, features: FeatureSet) -> "Attributor":
        """For clips, each all of its windows."""
        from vae_pipeline.models.attribution import ClipScore

        return Attributor(ClipScore(_network(trained), _standard(detector)), _median_window(features))

    @staticmethod
    def of_images(trained: Path, detector: ImageDetector, images: ImageSet) -> "Attributor":
        """For images, of the residual part of their score."""
        from vae_pipeline.models.attribution import ResidualScore
        from vae_pipeline.models.fit import load_network
        from vae_pipeline.models.vision.network import VisionVAE

        scorer = detector.scorer
        by_pixel = scorer.placements[0] == "pixel"
        normal = scorer.normal
        score = ResidualScore(
            load_network(trained, VisionVAE),
            mean=(normal.mean if by_pixel else normal.overall_mean)[0],
            deviation=(normal.deviation if by_pixel else normal.overall_deviation)[0] * scorer.unit[0],
            part=(float(scorer.part_mean[0]), float(scorer.part_deviation[0])),
            smoothing=scorer.smoothing,
            top=scorer.top,
        )
        index = images.index("calibrate")
        index = index[images.label[index] != 1]
        median = np.median(images.pixels[index[evenly(len(index), NORMAL // 5)]], axis=0)
        return Attributor(score, (median / 255.0).transpose(2, 0, 1).astype(np.float32))

    def attributed(self, sample: np.ndarray) -> np.ndarray:
        """What each input accounts for, shape as the sample: a window, the windows of a clip, or an image."""
        from vae_pipeline.models.attribution import attributed

        return attributed(self.score, sample, np.broadcast_to(self.baseline, sample.shape))


def _network(trained: Path) -> Any:
    from vae_pipeline.models.fit import load_network
    from vae_pipeline.models.timeseries.network import TimeSeriesVAE

    return load_network(trained, TimeSeriesVAE)


def _standard(detector: WindowDetector | SoundDetector) -> Any:
    from vae_pipeline.models.attribution import Standard

    chosen = tuple(PARTS.index(name) for name in detector.description.form)
    return Standard(late_weights(detector.description.late), detector.scorer.to_arrays(), chosen)


def _median_window(features: FeatureSet) -> np.ndarray:
    """The median of normal calibration windows, of those fitted on where there are none, shape (channels, time)."""
    windows = features.windows("calibrate")
    windows = windows.subset(features.labels(windows) != 1)
    normal = windows if len(windows) else features.windows("fit", healthy_only=True)
    return np.median(normal.evenly(NORMAL).take(slice(None)), axis=0)
