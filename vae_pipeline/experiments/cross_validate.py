"""How much the figures depend on which units are fitted on: every unit held out once, and judged by a network and a
threshold that know nothing of it.
"""

import csv
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np

from vae_pipeline.detector.calibrate import calibrate
from vae_pipeline.detector.detector import Detector
from vae_pipeline.detector.images import ImageDetector
from vae_pipeline.detector.sounds import SoundDetector
from vae_pipeline.detector.windows import WindowDetector
from vae_pipeline.evaluation.metrics import Scored, detection_metrics
from vae_pipeline.evaluation.windows import scored_part
from vae_pipeline.experiments.folds import cut, development_units, write_fold
from vae_pipeline.features.build import build
from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline.features.image_set import ImageSet
from vae_pipeline.records import Dataset, Record
from vae_pipeline.storage import write_bytes, write_json

__all__ = ["CrossValidation", "Fold", "cross_validate", "read_folds", "write_folds"]

SUMMARISED = (
    "roc_auc",
    "pr_auc",
    "partial_auc",
    "vus_pr",
    "f1",
    "best_f1",
    "false_alarms_per_1000",
    "alarm_share",
    "lead_time_median",
    "lead_time_share",
)
"""Figures whose mean and spread over the folds are told; counts are not."""

_AGAINST = {
    "table": "the units held out alone",
    "sound": "normal clips held out, and the abnormal clips of the test part",
    "image": "normal images held out, and the anomalous images of the test part",
}


class Fold(Record):
    """A fold: the units held out and the figures on them; ``epochs`` of the network that did not see them."""

    number: int
    held_out: tuple[str, ...]
    metrics: dict[str, float]
    threshold: float
    epochs: int
    seconds: float


class CrossValidation(Record):
    """All folds, with mean and standard deviation over those that have a figure; ``scored`` says what was scored."""

    folds: tuple[Fold, ...]
    mean: dict[str, float]
    spread: dict[str, float]
    scored: str


def cross_validate(
    dataset: Dataset, data_version: str, raw: Path, features: Path, folds: int, tell: Callable[[str], object] = str
) -> CrossValidation:
    """Fit, calibrate and judge once for every fold.

    Args:
        dataset: ``training`` and ``calibration`` are those of every fold; ``split`` cuts the rest into fit and
            calibrate, and its seed draws the folds.
        data_version: of the features.
        raw: the raw folder.
        features: the features folder of the whole; says which units fit and calibrate.
        folds: how many.
        tell: called with a line for every fold.

    Raises:
        DataError: there are fewer units than folds, or too few are left to fit on.
        TrainingError: a fold's network cannot be fitted.
        CalibrationError: a fold has too little to calibrate on.
    """
    units = development_units(dataset, raw, features)
    made = []
    for number, held_out in enumerate(cut(units, folds, dataset.split.seed, dataset.name), start=1):
        with tempfile.TemporaryDirectory() as scratch:
            fold = _fold(dataset, data_version, raw, Path(scratch), units=units, held_out=held_out, number=number)
        made.append(fold)
        shown = ", ".join(f"{name} {fold.metrics[name]:.3f}" for name in SUMMARISED if name in fold.metrics)
        tell(f"fold {number}/{folds}, {len(held_out)} held out: {shown} in {fold.seconds:.0f} s")
    values = {
        name: [fold.metrics[name] for fold in made if name in fold.metrics and np.isfinite(fold.metrics[name])]
        for name in SUMMARISED
    }
    return CrossValidation(
        folds=tuple(made),
        mean={name: float(np.mean(found)) for name, found in values.items() if found},
        spread={name: float(np.std(found, ddof=1)) for name, found in values.items() if len(found) > 1},
        scored=_AGAINST[dataset.medium],
    )


def _fold(
    dataset: Dataset,
    data_version: str,
    raw: Path,
    scratch: Path,
    *,
    units: list[str],
    held_out: tuple[str, ...],
    number: int,
) -> Fold:
    from vae_pipeline.models.train import train

    began = time.monotonic()
    own, features, trained = (scratch / name for name in ("raw", "features", "trained"))
    for folder in (own, features, trained):
        folder.mkdir()
    write_fold(dataset, raw, own, units, held_out)
    build(dataset, own, features)
    fitted = train(dataset, features, trained, folds=False)
    detector, _ = calibrate(dataset, f"{data_version}, fold {number}", features, trained / "model.onnx")
    threshold = detector.description.threshold.value
    scored, noun = _scored(detector, features)
    metrics = detection_metrics(
        scored, threshold, healthy_from=dataset.labels.healthy_from, bootstrap=0, seed=dataset.split.seed, noun=noun
    )
    return Fold(
        number=number,
        held_out=held_out,
        metrics=metrics,
        threshold=threshold,
        epochs=fitted.epochs,
        seconds=time.monotonic() - began,
    )


def _scored(detector: Detector, features: Path) -> tuple[Scored, str]:
    """The scored test part, and what its samples are."""
    if isinstance(detector, ImageDetector):
        images = ImageSet.open(features)
        index = images.index("test")
        return Scored.alone(detector.score_images(images.pixels, index).score, images.label[index]), "images"
    opened = FeatureSet.open(features)
    windows = opened.windows("test")
    if isinstance(detector, SoundDetector):
        codes, scores = detector.score_units(windows, opened.units(windows))
        return Scored.alone(scores, opened.row_label[[opened.segments[code].start for code in codes]]), "clips"
    found = cast("WindowDetector", detector).score_scaled(windows).score
    return scored_part(opened, windows, found), "windows"


def write_folds(found: CrossValidation, folder: Path) -> None:
    """Write ``folds.json`` and ``folds.csv``."""
    write_json(folder / "folds.json", found)
    names = [name for name in SUMMARISED if name in found.mean]
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["fold", "held_out", "threshold", "epochs", "seconds", *names])
    for fold in found.folds:
        own = [fold.metrics.get(name) for name in names]
        writer.writerow([fold.number, " ".join(fold.held_out), fold.threshold, fold.epochs, fold.seconds, *own])
    writer.writerow(["mean", "", "", "", "", *(found.mean[name] for name in names)])
    writer.writerow(["spread", "", "", "", "", *(found.spread.get(name) for name in names)])
    write_bytes(folder / "folds.csv", table.getvalue().encode())


def read_folds(folder: Path) -> CrossValidation:
    """What `write_folds` wrote."""
    return CrossValidation.model_validate_json((folder / "folds.json").read_text())
