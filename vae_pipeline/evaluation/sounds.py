"""A calibrated detector of recordings on the test part, beside baselines; clips are what is judged."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from vae_pipeline.detector.detector import Detector
from vae_pipeline.detector.report import CalibrationReport
from vae_pipeline.detector.sounds import SoundDetector
from vae_pipeline.evaluation import figures
from vae_pipeline.evaluation.baselines import DESCRIPTIONS, run_baselines
from vae_pipeline.evaluation.card import data_facts, model_card, threshold_facts
from vae_pipeline.evaluation.metrics import Scored, cannot, detection_metrics
from vae_pipeline.evaluation.ranking import Ranking
from vae_pipeline.evaluation.result import Evaluation, Told, ranked, write_result
from vae_pipeline.features.feature_set import FOLDS, FeatureSet, fold_folders
from vae_pipeline.features.signal import window_statistics
from vae_pipeline.features.windows import Windows
from vae_pipeline.records import Dataset, Training

__all__ = ["evaluate_sounds"]

LOUDNESS = "loudness"
MAHALANOBIS = "mahalanobis"
_DESCRIPTIONS = {
    **{name: text.replace("no model", "no network") for name, text in DESCRIPTIONS.items()},
    LOUDNESS: "distance of the clip's mean level from that of the normal ones, no model",
    MAHALANOBIS: "Mahalanobis distance of the clip's mean level in every band (Ledoit-Wolf), no network",
}


class _Run(NamedTuple):
    """A detector and the features it was calibrated on: the whole set, or one leave-out fold."""

    detector: SoundDetector
    features: FeatureSet


def evaluate_sounds(
    dataset: Dataset,
    features: Path,
    calibrated: Path,
    report: CalibrationReport,
    *,
    history: Sequence[Mapping[str, float]],
    folder: Path,
    told: Told,
    tuned: str = "",
) -> Evaluation:
    """Score the test clips, compare, draw and write; see `vae_pipeline.evaluation.evaluate`.

    With leave-out folds every normal clip is scored by the detector of the fold that left it out, and every abnormal
    clip by all of them. Scores of two folds have no common scale, so in each fold a clip gets its place among the
    abnormal clips, which are the same in all: 0 below the lowest, 1 above the highest. Within a fold that changes no
    order; an abnormal clip's score is its mean place. Baselines likewise.
    """
    main = _run(features, calibrated)
    folds = list(_fold_runs(features, calibrated))
    label, codes, scores = _pooled(folds or [main], told)
    scored = Scored.alone(scores.pop("VAE"), label)
    threshold = main.detector.description.threshold
    metrics = detection_metrics(scored, threshold.value, seed=dataset.split.seed, noun="clips")
    if folds:  # each fold has a threshold of its own, and the mean of their scores has none
        metrics = {name: value for name, value in metrics.items() if name in _OF_RANKING}
        metrics["folds"] = float(len(folds))
    baselines = {name: _with_partial(scored.with_score(values)) for name, values in scores.items()}
    evaluation = Evaluation(
        metrics=metrics,
        baselines=baselines,
        cannot=tuple(_cannot(scored, len(folds))),
        groups=_machines(scored, [_machine(main.features.unit_names[code]) for code in codes]),
    )
    told("drawing figures")
    pictures = {
        "precision_recall": figures.precision_recall_figure(scored, scores),
        "roc": figures.roc_figure(scored, scores),
        "comparison": figures.comparison_figure({"VAE": metrics, **baselines}),
        "histogram": figures.histogram_figure(scored, threshold.value, noun="clips"),
        "training": figures.training_figure(history),
    }
    card = _card(dataset, main, report, epochs=len(history), folds=len(folds), evaluation=evaluation, tuned=tuned)
    write_result(folder, evaluation, scored, codes, pictures, card)
    return evaluation


_OF_RANKING = {
    "clips",
    "best_f1",
    *(f"{name}{end}" for name in ("roc_auc", "pr_auc", "partial_auc") for end in ("", "_low", "_high")),
}


def _run(features: Path, calibrated: Path) -> _Run:
    return _Run(cast("SoundDetector", Detector.load(calibrated / "detector")), FeatureSet.open(features))


def _fold_runs(features: Path, calibrated: Path) -> Iterator[_Run]:
    for fold in fold_folders(features):
        yield _run(fold, calibrated / FOLDS / fold.name)


def _pooled(runs: Sequence[_Run], told: Told) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Labels and codes of all clips that were tested, and their scores by the VAE and by every baseline."""
    sums: dict[str, dict[int, list[float]]] = {}
    for number, run in enumerate(runs, start=1):
        told(f"scoring test clips{f', fold {number} of {len(runs)}' if len(runs) > 1 else ''}")
        for name, (codes, values) in _scores(run).items():
            abnormal = values[_labels(run.features, codes) == 1]
            placed = _placed(values, abnormal) if len(runs) > 1 else values
            for code, value in zip(codes.tolist(), placed.tolist(), strict=True):
                sums.setdefault(name, {}).setdefault(code, []).append(value)
    order = sorted(sums["VAE"])
    labels = _labels(runs[0].features, np.array(order))
    scores = {name: np.array([np.mean(found[code]) for code in order]) for name, found in sums.items()}
    return labels, np.array(order, dtype=np.int64), scores


def _labels(features: FeatureSet, codes: np.ndarray) -> np.ndarray:
    return features.row_label[[features.segments[code].start for code in codes]]


def _placed(values: np.ndarray, abnormal: np.ndarray) -> np.ndarray:
    """The share of the abnormal clips' scores that lies below each value, ties counted half, shape (n,)."""
    below = (abnormal < values[:, None]).mean(1)
    return below + (abnormal == values[:, None]).mean(1) / 2


def _scores(run: _Run) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Codes and scores of the test clips by the VAE and by every baseline."""
    features, detector = run.features, run.detector
    healthy, test = features.windows("fit", healthy_only=True), features.windows("test")
    none = test.subset(np.empty(0, np.int64))
    codes, values = detector.score_units(test, features.units(test))
    found = {"VAE": (codes, values)}
    drawn = run_baselines(healthy, none, test, ages={}, statistics=window_statistics, late=detector.description.late)
    for name, parts in drawn.items():
        found[name] = _mean_by_unit(parts["test"], features.units(test))
    fit, calibrate = features.windows("fit"), features.windows("calibrate")
    # like the detector's own statistics of clips, which come from all normal ones where there are few
    known = Windows(fit.rows, np.concatenate([fit.starts, calibrate.starts]), fit.length)
    normal = _clip_means(known, features.units(known))[1]
    codes, means = _clip_means(test, features.units(test))
    for name, score in {LOUDNESS: _loudness, MAHALANOBIS: _mahalanobis}.items():
        found[name] = (codes, score(means, normal))
    return found


def _clip_means(windows: Windows, unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes of the clips, and each one's mean level in every band, shape (n_clips, bands)."""
    means = np.concatenate([batch.mean(2, dtype=np.float64) for batch in windows.batches()])
    by_band = [_mean_by_unit(means[:, band], unit) for band in range(means.shape[1])]
    return by_band[0][0], np.stack([values for _, values in by_band], axis=1)


def _loudness(means: np.ndarray, normal: np.ndarray) -> np.ndarray:
    return np.abs(means.mean(1) - normal.mean())


def _mahalanobis(means: np.ndarray, normal: np.ndarray) -> np.ndarray:
    from sklearn.covariance import LedoitWolf

    return LedoitWolf().fit(normal).mahalanobis(means)


def _mean_by_unit(values: np.ndarray, unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    codes, inverse, counts = np.unique(unit, return_inverse=True, return_counts=True)
    return codes, np.bincount(inverse.reshape(-1), weights=values, minlength=len(codes)) / counts


def _with_partial(scored: Scored) -> dict[str, float]:
    found = ranked(scored)
    if found:
        labelled = scored.labelled
        found["partial_auc"] = float(Ranking.of(labelled.score, labelled.label).partial_auc()[0])
    return found


def _machine(unit: str) -> str:
    """The machine of ``id_00/normal/00000000``."""
    return unit.rsplit("/", 2)[0] if unit.count("/") > 1 else ""


def _machines(scored: Scored, machines: Sequence[str]) -> dict[str, dict[str, float]]:
    """Figures of each machine on its own, where there are several."""
    known = sorted(set(machines))
    if len(known) < 2:
        return {}
    of = np.array(machines)
    return {name: {"clips": float((of == name).sum()), **_with_partial(scored.take(of == name))} for name in known}


def _cannot(scored: Scored, folds: int) -> list[str]:
    sentences = cannot(scored, "clips")
    if folds:
        normal, abnormal = int((scored.label == 0).sum()), int((scored.label == 1).sum())
        sentences.append(
            f"Few clips: with {normal} normal and {abnormal} abnormal ones the figures come from {folds} leave-out "
            "folds and their intervals are wide; another recording session may turn out otherwise."
        )
        sentences.append("Precision, recall and F1 at the threshold cannot be computed: each fold has its own.")
    return sentences


def _card(
    dataset: Dataset,
    run: _Run,
    report: CalibrationReport,
    *,
    epochs: int,
    folds: int,
    evaluation: Evaluation,
    tuned: str,
) -> str:
    description, training = run.detector.description, cast("Training", dataset.training)
    counts = {part: sum(item.part == part for item in run.features.segments) for part in ("fit", "calibrate", "test")}
    split = ", ".join(f"{part} {count}" for part, count in counts.items())
    return model_card(
        name=description.name,
        description=f"Variational autoencoder of {description.window} log-mel frames of {len(description.sensors)} "
        f"bands, for {dataset.title}.",
        data=data_facts(dataset, description.data_version),
        protocol={
            "Split": f"by clip: {split}"
            + (f"; figures from {folds} leave-out folds over the normal clips" * bool(folds)),
            "Normal": "clips of the class normal",
            "Anomalous": "clips of the class abnormal",
            "Scaling": "per band, from normal clips of the fit part",
            "Calibration": f"{report.normal_samples:,} normal clips that were not fitted on",
        },
        model={
            "Encoder": training.encoder,
            "Latent dimensions": training.latent,
            "Beta": training.beta,
            "Epochs": epochs,
            **({"Hyperparameters": f"tuned: {tuned}"} if tuned else {}),
            "Score": f"sum of {', '.join(description.form)}, each a standardised logarithm, of the mean over the clip",
        },
        metrics=evaluation.metrics,
        baselines=evaluation.baselines,
        groups=evaluation.groups,
        baseline_descriptions=_DESCRIPTIONS,
        threshold=threshold_facts(description.threshold),
        cannot=evaluation.cannot,
        intended_use="Listening to machines of the kind the recordings come from, with the same microphone and place: "
        "the score ranks clips by how unlike normal operation they sound, and the threshold turns it into an alarm for "
        "a person to listen.",
    )
