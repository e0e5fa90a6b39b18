"""A calibrated detector on the test part, beside baselines: metrics, figures, scores and a model card in one folder."""

import json
from pathlib import Path
from typing import cast

from vae_pipeline.detector.detector import Detector
from vae_pipeline.detector.images import ImageDetector
from vae_pipeline.detector.pairs import PairDetector
from vae_pipeline.detector.report import CalibrationReport
from vae_pipeline.detector.windows import WindowDetector
from vae_pipeline.evaluation.images import evaluate_images
from vae_pipeline.evaluation.pairs import evaluate_pairs
from vae_pipeline.evaluation.result import Evaluation, Told
from vae_pipeline.evaluation.sounds import evaluate_sounds
from vae_pipeline.evaluation.windows import evaluate_windows
from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline.features.image_set import ImageSet
from vae_pipeline.features.pair_set import PairSet
from vae_pipeline.records import Dataset

__all__ = ["evaluate"]


def evaluate(
    dataset: Dataset, features: Path, trained: Path, calibrated: Path, folder: Path, told: Told | None = None
) -> Evaluation:
    """Score the test part, compare, draw and write.

    Args:
        dataset: names, licence and label rule for the card.
        features: the features folder the detector was calibrated on.
        trained: the trained folder; ``history.json`` is drawn, ``tuned.json`` told on the card where it is there.
        calibrated: holds ``detector/``, ``report.json`` and, where there are leave-out folds, one of these for each.
        folder: gets ``evaluation.json``, ``scores.npz``, ``card.md`` and ``figures/``.
        told: called with a word on what is being done.
    """
    tell = told or (lambda _: None)
    report = CalibrationReport.model_validate_json((calibrated / "report.json").read_text())
    history = json.loads((trained / "history.json").read_text())
    note = trained / "tuned.json"
    tuned = json.loads(note.read_text())["tuned"] if note.exists() else ""
    if dataset.medium == "sound":
        return evaluate_sounds(
            dataset, features, calibrated, report, history=history, folder=folder, told=tell, tuned=tuned
        )
    detector = Detector.load(calibrated / "detector")
    if dataset.medium == "image":
        images = ImageSet.open(features)
        return evaluate_images(
            dataset,
            cast("ImageDetector", detector),
            images,
            report,
            history=history,
            folder=folder,
            told=tell,
            tuned=tuned,
        )
    if dataset.medium == "pair":
        return evaluate_pairs(
            dataset,
            cast("PairDetector", detector),
            PairSet.open(features),
            report,
            history=history,
            folder=folder,
            told=tell,
        )
    windows = FeatureSet.open(features)
    return evaluate_windows(
        dataset,
        cast("WindowDetector", detector),
        windows,
        report,
        history=history,
        folder=folder,
        told=tell,
        tuned=tuned,
    )
