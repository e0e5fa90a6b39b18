"""A network of windows to a calibrated detector of tables."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from vae_pipeline.calibration.faults import faulty_batches
from vae_pipeline.calibration.scorers import PARTS, WindowScorer
from vae_pipeline.calibration.separation import average_precision, clearly_best, roc_auc
from vae_pipeline.calibration.thresholds import choose
from vae_pipeline.detector.description import WindowDescription
from vae_pipeline.detector.report import CalibrationReport, FormFigure
from vae_pipeline.detector.session import NetworkSession
from vae_pipeline.detector.windows import WindowDetector
from vae_pipeline.explanation.sensors import NormalSensors
from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline.features.windows import Windows, evenly
from vae_pipeline.records import Calibration, Dataset

__all__ = ["DEFAULT_FORM", "FORMS", "UNLABELLED_FORM", "calibrate_windows", "chosen_form"]

FORMS: tuple[tuple[str, ...], ...] = (
    ("mean_error",),
    ("error",),
    ("level",),
    ("latent",),
    ("error", "level"),
    ("error", "latent"),
    ("error", "level", "latent"),
    ("error", "level", "latent", "mean_error"),
)
"""Forms of the score that every calibration compares."""

DEFAULT_FORM = ("error", "level", "latent")
UNLABELLED_FORM = (*DEFAULT_FORM, "mean_error")
"""Where no label tells whether faults show in many sensors or in one, both kinds are provided for."""

MARGIN = 0.02
"""PR-AUC by which another form must win on calibration units: less is within the noise of a training seed."""

REFERENCE_SIZE = 1000
EXPLAINED = 4000
"""Normal calibration windows that show what sensors normally do."""
FAULT_WINDOWS = 1000


def calibrate_windows(
    dataset: Dataset, data_version: str, features: FeatureSet, network: Path | NetworkSession
) -> tuple[WindowDetector, CalibrationReport]:
    """Fit the score on normal fit windows, standardise and threshold it on calibration windows.

    Args:
        dataset: its ``calibration`` says which parts are summed and which threshold is asked for.
        data_version: version of the data the network was fitted on.
        features: the opened features folder.
        network: the exported ``model.onnx``, or a session that runs it.

    Raises:
        CalibrationError: too few windows, or scores that are not finite.
    """
    session = network if isinstance(network, NetworkSession) else NetworkSession(network)
    stated = cast("Calibration", dataset.calibration)
    late = min(stated.late or max(1, features.length // 5), features.length)
    scorer = WindowScorer.fit(session.batches(features.windows("fit", healthy_only=True)), late)
    windows = features.windows("calibrate")
    labels = features.labels(windows)
    parts, latents = _observed(session, scorer, windows)
    normal = labels != 1
    scorer = scorer.standardised(parts[normal])
    criterion, forms = _compared(session, scorer, windows, labels, parts)
    scorer = replace(scorer, form=stated.score or chosen_form(criterion, forms))
    scores = scorer.combine(parts)
    threshold = choose(scores, labels, stated)
    kept = np.flatnonzero(normal)[evenly(int(normal.sum()), REFERENCE_SIZE)]
    shown = windows.subset(kept)
    reference = {"scores": scores[kept], "latents": latents[kept], "units": features.units(shown)}
    if (inputs := features.inputs(shown)) is not None:
        reference["inputs"] = inputs
    detector = WindowDetector(
        WindowDescription(
            line=dataset.line,
            dataset=dataset.name,
            data_version=data_version,
            sensors=features.sensors,
            settings=features.settings if features.scaler.regimes > 1 else (),
            unit_column=dataset.columns.unit,
            time_column=dataset.columns.time,
            window=features.length,
            late=scorer.late,
            form=scorer.form,
            threshold=threshold,
        ),
        features.scaler,
        scorer,
        session,
        reference,
        NormalSensors.of_windows(session.batches(windows.subset(normal).evenly(EXPLAINED)), scorer.late),
    )
    return detector, CalibrationReport.of(normal, criterion, forms, "windows")


def chosen_form(criterion: str, forms: tuple[FormFigure, ...]) -> tuple[str, ...]:
    """The form of the score.

    With labels of calibration units `DEFAULT_FORM`, unless they put another above it by `MARGIN`; without them
    `UNLABELLED_FORM`. Synthetic faults are a coarse stand-in for real ones: they are shown, and do not decide.
    """
    if criterion != "labels":
        return UNLABELLED_FORM
    return clearly_best({figure.form: figure.pr_auc for figure in forms}, DEFAULT_FORM, MARGIN)


def _observed(session: NetworkSession, scorer: WindowScorer, windows: Windows) -> tuple[np.ndarray, np.ndarray]:
    """Parts, shape (n, parts), and latents, shape (n, latent), of all windows."""
    pairs = [(scorer.parts(batch), batch.latent) for batch in session.batches(windows)]
    if not pairs:
        return np.empty((0, len(PARTS))), np.empty((0, 1))
    return np.concatenate([parts for parts, _ in pairs]), np.concatenate([latent for _, latent in pairs])


def _compared(
    session: NetworkSession, scorer: WindowScorer, windows: Windows, labels: np.ndarray, parts: np.ndarray
) -> tuple[str, tuple[FormFigure, ...]]:
    """Every form's separation, by labels where both classes are there, else of synthetic faults."""
    if (labels == 1).any() and (labels == 0).any():
        known = labels >= 0
        parts, positive, criterion = parts[known], labels[known] == 1, "labels"
    else:
        normal = np.flatnonzero(labels != 1)
        faulty = _faulty_parts(session, scorer, windows.subset(normal))
        positive = np.arange(len(normal) + len(faulty)) >= len(normal)
        parts, criterion = np.concatenate([parts[normal], faulty]), "synthetic faults"
    figures = []
    for form in FORMS:
        scores = replace(scorer, form=form).combine(parts)
        figures.append(
            FormFigure(form=form, roc_auc=roc_auc(scores, positive), pr_auc=average_precision(scores, positive))
        )
    return criterion, tuple(figures)


def _faulty_parts(session: NetworkSession, scorer: WindowScorer, windows: Windows, seed: int = 0) -> np.ndarray:
    """Parts of normal windows after one fault in one sensor, each kind for a quarter of them, shape (n, parts)."""
    random = np.random.default_rng(seed)
    chosen = np.sort(random.permutation(len(windows))[:FAULT_WINDOWS])
    found = [scorer.parts(session.observe(batch)) for batch in faulty_batches(windows, chosen, random, seed)]
    return np.concatenate(found) if found else np.empty((0, len(PARTS)))
