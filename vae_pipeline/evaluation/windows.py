"""A calibrated detector of windows on the test part, beside baselines."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np

from vae_pipeline.detector.report import CalibrationReport
from vae_pipeline.detector.windows import WindowDetector
from vae_pipeline.evaluation import figures
from vae_pipeline.evaluation.baselines import DESCRIPTIONS, run_baselines
from vae_pipeline.evaluation.card import data_facts, model_card, threshold_facts
from vae_pipeline.evaluation.metrics import Scored, cannot, detection_metrics
from vae_pipeline.evaluation.result import Evaluation, Told, ranked, write_result
from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline.features.signal import window_statistics
from vae_pipeline.features.windows import Windows
from vae_pipeline.records import Dataset, Training

__all__ = ["evaluate_windows", "scored_part"]


def evaluate_windows(
    dataset: Dataset,
    detector: WindowDetector,
    features: FeatureSet,
    report: CalibrationReport,
    *,
    history: Sequence[Mapping[str, float]],
    folder: Path,
    told: Told | None = None,
    tuned: str = "",
) -> Evaluation:
    """Score the test part, compare, draw and write.

    Args:
        dataset: names, licence and label rule for the card.
        detector: calibrated.
        features: the opened features folder the detector was calibrated on.
        report: what calibration saw, for the card.
        history: metrics of every epoch, for the training figure.
        folder: gets ``evaluation.json``, ``scores.npz``, ``card.md`` and ``figures/``.
        told: called with a word on what is being done.
        tuned: which hyperparameters come from tuning, for the card.
    """
    tell = told or (lambda _: None)
    windows = features.windows("test")
    tell(f"scoring {len(windows):,} test windows")
    scored = scored_part(features, windows, detector.score_scaled(windows).score)
    threshold = detector.description.threshold
    healthy_from = dataset.labels.healthy_from
    metrics = detection_metrics(scored, threshold.value, healthy_from=healthy_from, seed=dataset.split.seed)
    baseline_scores = _baseline_scores(features, windows, detector, dataset.split.seed, tell)
    baselines = {name: ranked(scored.with_score(scores)) for name, scores in baseline_scores.items()}
    evaluation = Evaluation(metrics=metrics, baselines=baselines, cannot=tuple(cannot(scored)))
    tell("drawing figures")
    pictures = _pictures(scored, baseline_scores, evaluation, threshold.value, history, features.unit_names)
    card = _card(dataset, detector, features, report, history=history, evaluation=evaluation, tuned=tuned)
    write_result(folder, evaluation, scored, windows.ends, pictures, card)
    return evaluation


def scored_part(features: FeatureSet, windows: Windows, scores: np.ndarray) -> Scored:
    """Scores of windows with what is known of each."""
    return Scored(
        score=scores,
        label=features.labels(windows),
        unit=features.units(windows),
        time=features.times(windows),
        remaining_life=features.remaining_life(windows),
    )


def _baseline_scores(
    features: FeatureSet, windows: Windows, detector: WindowDetector, seed: int, tell: Told
) -> dict[str, np.ndarray]:
    calibrate = features.windows("calibrate")
    found = run_baselines(
        features.windows("fit", healthy_only=True),
        # the baselines need no calibration: they are compared by ranking alone
        calibrate.subset(np.empty(0, np.int64)),
        windows,
        ages={"calibrate": np.empty(0), "test": features.age(windows)},
        statistics=window_statistics,
        late=detector.description.late,
        seed=seed,
        progress=lambda name: tell(f"baseline {name}"),
    )
    return {name: parts["test"] for name, parts in found.items()}


def _pictures(
    scored: Scored,
    baseline_scores: Mapping[str, np.ndarray],
    evaluation: Evaluation,
    threshold: float,
    history: Sequence[Mapping[str, float]],
    names: Sequence[str],
) -> dict[str, bytes]:
    return {
        "life": figures.life_figure(scored, threshold, names=names),
        "precision_recall": figures.precision_recall_figure(scored, baseline_scores),
        "roc": figures.roc_figure(scored, baseline_scores),
        "comparison": figures.comparison_figure({"VAE": evaluation.metrics, **evaluation.baselines}),
        "histogram": figures.histogram_figure(scored, threshold),
        "training": figures.training_figure(history),
    }


def _card(
    dataset: Dataset,
    detector: WindowDetector,
    features: FeatureSet,
    report: CalibrationReport,
    *,
    history: Sequence[Mapping[str, float]],
    evaluation: Evaluation,
    tuned: str,
) -> str:
    description = detector.description
    threshold = description.threshold
    training = cast("Training", dataset.training)
    counts = {part: len({s.name for s in features.segments if s.part == part}) for part in ("fit", "calibrate", "test")}
    labels = dataset.labels
    if labels.run_to_failure:
        normal = f"remaining life of at least {labels.healthy_from} cycles is fitted on"
        anomalous = f"remaining life under {labels.anomalous_below} cycles"
    else:
        normal, anomalous = "rows not labelled anomalous", "the label column, where there is one"
    return model_card(
        name=description.name,
        description=f"Variational autoencoder of windows of {description.window} readings of "
        f"{len(description.sensors)} sensors, for {dataset.title}.",
        data=data_facts(dataset, description.data_version),
        protocol={
            "Split": "by unit: " + ", ".join(f"{part} {count}" for part, count in counts.items()),
            "Normal": normal,
            "Anomalous": anomalous,
            "Scaling": f"per operating regime ({features.scaler.regimes}), from normal rows of the fit part",
            "Calibration": f"{report.normal_samples:,} normal and {report.anomalous_samples:,} anomalous windows of "
            "units that were not fitted on",
        },
        model={
            "Encoder": training.encoder,
            "Hidden widths": ", ".join(str(width) for width in training.hidden),
            "Latent dimensions": training.latent,
            "Beta": training.beta,
            "Epochs": len(history),
            **({"Hyperparameters": f"tuned: {tuned}"} if tuned else {}),
            "Score": f"sum of {', '.join(description.form)}, each a standardised logarithm, "
            f"late mean over {description.late} readings",
            "Forms compared on calibration": f"by {report.criterion}: "
            + "; ".join(f"{figure.name} PR-AUC {figure.pr_auc:.3f}" for figure in report.forms),
        },
        metrics=evaluation.metrics,
        baselines=evaluation.baselines,
        baseline_descriptions=DESCRIPTIONS,
        threshold=threshold_facts(threshold),
        cannot=evaluation.cannot,
    )
