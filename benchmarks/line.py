"""From a dataset of tables to a calibrated detector by library calls, without Dagster, in one folder."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from vae_pipeline.detector.detector import Detector
from vae_pipeline.detector.window_calibration import calibrate_windows
from vae_pipeline.detector.windows import WindowDetector
from vae_pipeline.features.build import build
from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline.records import Dataset
from vae_pipeline.settings import load_settings
from vae_pipeline.sources.load import load

__all__ = ["Trained", "run_line"]


@dataclass(frozen=True, eq=False)
class Trained:
    """A detector and what it was made from.

    Attributes:
        dataset: the catalogue entry.
        features: the opened features folder.
        detector: calibrated, as loaded from its folder.
        train_seconds: training and export.
        calibrate_seconds: fitting score, standardisation and threshold.
        windows_per_second: of training, as `vae_pipeline.models.train.train` reports it.
    """

    dataset: Dataset
    features: FeatureSet
    detector: WindowDetector
    train_seconds: float
    calibrate_seconds: float
    windows_per_second: float


def run_line(dataset: Dataset, folder: Path) -> Trained:
    """Load, build, train and calibrate ``dataset`` in ``folder``, which holds nothing yet."""
    from vae_pipeline.models.train import train

    raw, built, trained, detector = (folder / name for name in ("raw", "features", "trained", "detector"))
    for part in (raw, built, trained, detector):
        part.mkdir(parents=True)
    load(dataset, load_settings(), raw)
    build(dataset, raw, built)
    features = FeatureSet.open(built)
    began = time.perf_counter()
    fitted = train(dataset, built, trained)
    done = time.perf_counter()
    calibrate_windows(dataset, "benchmark", features, trained / "model.onnx")[0].save(detector)
    return Trained(
        dataset=dataset,
        features=features,
        detector=cast("WindowDetector", Detector.load(detector)),
        train_seconds=done - began,
        calibrate_seconds=time.perf_counter() - done,
        windows_per_second=fitted.samples_per_second,
    )
