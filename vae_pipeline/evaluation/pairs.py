"""A calibrated detector of pairs on the test part, beside each modality's own detector and their late fusion."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from vae_pipeline.calibration.thresholds.quantiles import conformal_p_values
from vae_pipeline.detector.detector import Detector
from vae_pipeline.detector.images import ImageDetector
from vae_pipeline.detector.pairs import PairDetector
from vae_pipeline.detector.report import CalibrationReport
from vae_pipeline.detector.windows import WindowDetector
from vae_pipeline.evaluation import figures, image_figures
from vae_pipeline.evaluation.card import data_facts, model_card, threshold_facts
from vae_pipeline.evaluation.metrics import Scored, cannot, detection_metrics
from vae_pipeline.evaluation.result import Evaluation, Told, ranked, write_result
from vae_pipeline.features.pair_set import GROUPS, Paired, PairSet
from vae_pipeline.records import Dataset, FusionTraining

__all__ = ["evaluate_pairs"]

DESCRIPTIONS = {
    "timeseries": "the window's own detector, of the line timeseries",
    "vision": "the image's own detector, of the line vision",
    "late_fusion": "1 - mean of the conformal p-values of the two",
    "late_fisher": "minus the sum of the logarithms of these p-values (Fisher)",
}


class _Scores(NamedTuple):
    """Scores of the test pairs, each of shape (n,): fused, with one modality left out, and of the lines' detectors."""

    both: np.ndarray
    windows: np.ndarray
    images: np.ndarray
    timeseries: np.ndarray
    vision: np.ndarray


def evaluate_pairs(
    dataset: Dataset,
    detector: PairDetector,
    pairs: PairSet,
    report: CalibrationReport,
    *,
    history: Sequence[Mapping[str, float]],
    folder: Path,
    told: Told,
) -> Evaluation:
    """Score the test pairs, compare, draw and write; see `vae_pipeline.evaluation.evaluate`.

    Intervals are drawn over the units of the windows.
    """
    paired = pairs.paired("test")
    told(f"scoring {len(paired):,} test pairs")
    lines = tuple(Detector.load(pairs.detector(name)) for name in ("windows", "images"))
    windows, images = cast("WindowDetector", lines[0]), cast("ImageDetector", lines[1])
    scores = _scored(detector, windows, images, paired)
    scored = Scored(
        scores.both,
        paired.label,
        paired.unit.astype(np.int64),
        np.arange(len(paired), dtype=np.float64),
        np.full(len(paired), np.nan, dtype=np.float32),
    )
    threshold = detector.description.threshold
    metrics = detection_metrics(scored, threshold.value, seed=dataset.split.seed, noun="pairs")
    beside = {"timeseries": scores.timeseries, "vision": scores.vision, **_late(scores, windows, images)}
    baselines = {name: ranked(scored.with_score(values)) for name, values in beside.items()}
    metrics |= _with_one_missing(scores, paired)
    evaluation = Evaluation(
        metrics=metrics,
        baselines=baselines,
        cannot=tuple(cannot(scored, "pairs")),
        groups=_groups(scored, beside, paired.group, threshold.value),
    )
    told("drawing figures")
    pictures = {
        "score_by_group": image_figures.score_by_defect_figure(
            scored.score, ["good" if place == 0 else GROUPS[place] for place in paired.group], threshold.value
        ),
        "precision_recall": figures.precision_recall_figure(scored, beside),
        "roc": figures.roc_figure(scored, beside),
        "comparison": figures.comparison_figure({"VAE": metrics, **baselines}),
        "histogram": figures.histogram_figure(scored, threshold.value, noun="pairs"),
        "training": figures.training_figure(history),
    }
    card = _card(dataset, detector, pairs, report, epochs=len(history), evaluation=evaluation)
    write_result(folder, evaluation, scored, np.arange(len(paired)), pictures, card)
    return evaluation


def _scored(detector: PairDetector, windows: WindowDetector, images: ImageDetector, paired: Paired) -> _Scores:
    readings, places = paired.windows.take(slice(None)), np.unique(paired.images)
    pictures = paired.pixels[places]
    which = np.searchsorted(places, paired.images)
    return _Scores(
        detector.score_paired(paired).score,
        detector.score_scaled(readings, None).score,
        detector.score_scaled(None, pictures).score[which],
        windows.score_scaled(paired.windows).score,
        images.score_images(pictures).score[which],
    )


def _late(scores: _Scores, windows: WindowDetector, images: ImageDetector) -> dict[str, np.ndarray]:
    values = np.stack(
        [
            conformal_p_values(scores.timeseries, windows.reference["scores"]),
            conformal_p_values(scores.vision, images.reference["scores"]),
        ]
    )
    return {"late_fusion": 1.0 - values.mean(0), "late_fisher": -np.log(values).sum(0)}


def _with_one_missing(scores: _Scores, paired: Paired) -> dict[str, float]:
    """ROC-AUC by one modality alone, of the fused detector and of that modality's own, on that modality's labels."""
    found = {}
    for name, label, fused, own in (
        ("windows", paired.window_label, scores.windows, scores.timeseries),
        ("images", paired.image_label, scores.images, scores.vision),
    ):
        known = label >= 0
        for what, values in (("alone", fused), ("own_detector", own)):
            figure = ranked(Scored.alone(values[known], label[known]))
            if figure:
                found[f"{name}_{what}_roc_auc"] = figure["roc_auc"]
    return found


def _groups(
    scored: Scored, beside: Mapping[str, np.ndarray], group: np.ndarray, threshold: float
) -> dict[str, dict[str, float]]:
    """Figures of each group against the pairs that are normal throughout; of those the false alarms."""
    normal = (group == 0) & (scored.label == 0)
    if not normal.any():
        return {}
    found = {"none": {"pairs": float(normal.sum()), "alarm_share": float((scored.score[normal] > threshold).mean())}}
    for place, name in enumerate(GROUPS[1:], start=1):
        mine = group == place
        if not mine.any():
            continue
        part = scored.take(mine | normal)
        own = {key: value for key, value in ranked(part).items() if key in ("roc_auc", "pr_auc")}
        others = {
            f"{key}_roc_auc": ranked(scored.with_score(values).take(mine | normal))["roc_auc"]
            for key, values in beside.items()
        }
        share = float((scored.score[mine] > threshold).mean())
        found[name] = {"pairs": float(mine.sum()), "alarm_share": share, **own, **others}
    return found


def _card(
    dataset: Dataset,
    detector: PairDetector,
    pairs: PairSet,
    report: CalibrationReport,
    *,
    epochs: int,
    evaluation: Evaluation,
) -> str:
    description, training = detector.description, cast("FusionTraining", dataset.training)
    how = (
        "windows and images are joined by a key"
        if pairs.keyed
        else f"no natural pairing exists: drawn within each part with seed {dataset.split.seed}, test pairs in four "
        "groups of one size"
    )
    return model_card(
        name=description.name,
        description=f"Variational autoencoder of pairs of a window and an image, for {dataset.title}.",
        data=data_facts(dataset, description.data_version),
        protocol={
            "Pairing": how,
            "Parts": ", ".join(f"{part} {len(pairs.paired(part))} pairs" for part in ("fit", "calibrate", "test")),
            "Normal": "both the window and the image are normal",
            "Anomalous": "either is",
            "Calibration": f"{report.normal_samples:,} normal pairs of the calibration part",
        },
        model={
            "Fusion": training.fusion,
            "Cross-modal attention": "yes" if training.attention else "no",
            "Training pairs with a missing modality": f"{training.missing:.0%}",
            "Latent dimensions": training.latent or "those of both lines' encoders",
            "Epochs": epochs,
            "Score of windows": " + ".join(description.windows.form),
            "Score of images": " + ".join(description.images.form),
            "Score": f"{description.form[0]} of the surprise of both, in nats of surprise of a normal pair",
            "Forms compared on calibration": f"{report.criterion}: "
            + "; ".join(f"{form.name} PR-AUC {form.pr_auc:.3f}" for form in report.forms),
        },
        metrics=evaluation.metrics,
        baselines=evaluation.baselines,
        groups=evaluation.groups,
        baseline_descriptions=DESCRIPTIONS,
        threshold=threshold_facts(description.threshold),
        cannot=evaluation.cannot,
        intended_use="Watching machines by their readings and their pictures together. The score ranks pairs by how "
        "unlike normal ones they are; where one modality is missing it speaks by the other alone, on the same scale.",
    )
