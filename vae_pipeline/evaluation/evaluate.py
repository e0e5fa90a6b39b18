"""A calibrated detector on the test part, beside baselines: metrics, figures, scores and a model card in one folder."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vae_pipeline.detector.calibrate import CalibrationReport
from vae_pipeline.detector.detector import Detector
from vae_pipeline.evaluation import figures
from vae_pipeline.evaluation.baselines import DESCRIPTIONS, run_baselines
from vae_pipeline.evaluation.card import model_card
from vae_pipeline.evaluation.metrics import Scored, cannot, detection_metrics, intervals
from vae_pipeline.evaluation.ranking import Ranking
from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline.features.signal import window_statistics
from vae_pipeline.features.windows import Windows
from vae_pipeline.records import Dataset, Record
from vae_pipeline.storage import write_bytes, write_json

__all__ = ["Evaluation", "evaluate", "read_evaluation", "read_scored", "scored_part"]

Told = Callable[[str], None]


class Evaluation(Record):
    """Figures of a detector: ``metrics`` on the test part and those of every baseline on the same windows."""

    metrics: dict[str, float]
    baselines: dict[str, dict[str, float]]
    cannot: tuple[str, ...] = ()

    def flat(self) -> dict[str, float]:
        """One name a figure: ``test_pr_auc``, ``baseline_pca_test_pr_auc``."""
        own = {f"test_{name}": value for name, value in self.metrics.items()}
        for baseline, figures_of in self.baselines.items():
            own |= {f"baseline_{baseline}_test_{name}": value for name, value in figures_of.items()}
        return own

    @property
    def best_baseline(self) -> tuple[str, float] | None:
        """The baseline with the highest PR-AUC, and that figure."""
        known = {name: found["pr_auc"] for name, found in self.baselines.items() if "pr_auc" in found}
        return max(known.items(), key=lambda item: item[1]) if known else None


def evaluate(
    dataset: Dataset,
    detector: Detector,
    features: FeatureSet,
    report: CalibrationReport,
    *,
    history: Sequence[Mapping[str, float]],
    folder: Path,
    told: Told | None = None,
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
    """
    tell = told or (lambda _: None)
    windows = features.windows("test")
    tell(f"scoring {len(windows):,} test windows")
    scored = scored_part(features, windows, detector.score_scaled(windows).score)
    threshold = detector.description.threshold
    healthy_from = dataset.labels.healthy_from
    metrics = detection_metrics(scored, threshold.value, healthy_from=healthy_from, seed=dataset.split.seed)
    baseline_scores = _baseline_scores(features, windows, detector, dataset.split.seed, tell)
    baselines = {name: _ranked(scored.with_score(scores)) for name, scores in baseline_scores.items()}
    evaluation = Evaluation(metrics=metrics, baselines=baselines, cannot=tuple(cannot(scored)))
    tell("drawing figures")
    pictures = _pictures(scored, baseline_scores, evaluation, threshold.value, history, features.unit_names)
    for name, picture in pictures.items():
        write_bytes(folder / "figures" / f"{name}.png", picture)
    np.savez(
        folder / "scores.npz",
        score=scored.score,
        label=scored.label,
        unit=scored.unit,
        time=scored.time,
        remaining_life=scored.remaining_life,
        row=windows.ends,
    )
    card = _card(dataset, detector, features, report, history=history, evaluation=evaluation)
    write_bytes(folder / "card.md", card.encode())
    write_json(folder / "evaluation.json", evaluation)
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
    features: FeatureSet, windows: Windows, detector: Detector, seed: int, tell: Told
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


def _ranked(scored: Scored) -> dict[str, float]:
    labelled = scored.labelled
    if not ((labelled.label == 1).any() and (labelled.label == 0).any()):
        return {}
    ranking = Ranking.of(labelled.score, labelled.label)
    roc_auc, pr_auc = (float(value[0]) for value in ranking.both())
    return {"roc_auc": roc_auc, "pr_auc": pr_auc, "best_f1": ranking.best_f1(), **intervals(scored, draws=100)}


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
    detector: Detector,
    features: FeatureSet,
    report: CalibrationReport,
    *,
    history: Sequence[Mapping[str, float]],
    evaluation: Evaluation,
) -> str:
    description = detector.description
    threshold = description.threshold
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
        data={
            "Dataset": dataset.name,
            "Title": dataset.title,
            "Licence": dataset.licence,
            "Citation": dataset.citation,
            "Data version": description.data_version,
        },
        protocol={
            "Split": "by unit: " + ", ".join(f"{part} {count}" for part, count in counts.items()),
            "Normal": normal,
            "Anomalous": anomalous,
            "Scaling": f"per operating regime ({features.scaler.regimes}), from normal rows of the fit part",
            "Calibration": f"{report.normal_windows:,} normal and {report.anomalous_windows:,} anomalous windows of "
            "units that were not fitted on",
        },
        model={
            "Encoder": dataset.training.encoder,
            "Hidden widths": ", ".join(str(width) for width in dataset.training.hidden),
            "Latent dimensions": dataset.training.latent,
            "Beta": dataset.training.beta,
            "Epochs": len(history),
            "Score": f"sum of {', '.join(description.form)}, each a standardised logarithm, "
            f"late mean over {description.late} readings",
            "Forms compared on calibration": f"by {report.criterion}: "
            + "; ".join(f"{' + '.join(figure.form)} PR-AUC {figure.pr_auc:.3f}" for figure in report.forms),
        },
        metrics=evaluation.metrics,
        baselines=evaluation.baselines,
        baseline_descriptions=DESCRIPTIONS,
        threshold={
            "Value": threshold.value,
            "Method": threshold.method,
            "Guarantee": threshold.guarantee,
            "Warnings": "; ".join(threshold.warnings) or "none",
        },
        cannot=evaluation.cannot,
    )


def read_evaluation(folder: Path) -> Evaluation:
    """What `evaluate` wrote."""
    content: dict[str, Any] = json.loads((folder / "evaluation.json").read_text())
    return Evaluation.model_validate(content)


def read_scored(folder: Path) -> tuple[Scored, np.ndarray]:
    """The scored test windows that `evaluate` wrote, and the feature row that ends each, shape (n,)."""
    with np.load(folder / "scores.npz", allow_pickle=False) as stored:
        names = ("score", "label", "unit", "time", "remaining_life")
        return Scored(**{name: stored[name] for name in names}), stored["row"]
