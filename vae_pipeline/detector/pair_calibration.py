"""A network of pairs to a calibrated detector of pairs.

Each modality is calibrated as its own line does it, beside normal partners drawn from the same part; then both scores
are put on one scale by normal calibration pairs. Images of these pairs are scored with statistics they are no part of.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from vae_pipeline.calibration.faults import faulty_batches
from vae_pipeline.calibration.fusion import FORMS, PairScorer
from vae_pipeline.calibration.separation import average_precision, clearly_best, roc_auc
from vae_pipeline.calibration.thresholds import choose
from vae_pipeline.detector.description import PairDescription
from vae_pipeline.detector.image_calibration import calibrated_and_crossed
from vae_pipeline.detector.images import ImageDetector
from vae_pipeline.detector.pair_session import PAIR_BATCH, ImageView, PairSession, WindowView
from vae_pipeline.detector.pairs import PairDetector
from vae_pipeline.detector.report import CalibrationReport, FormFigure
from vae_pipeline.detector.window_calibration import calibrate_windows
from vae_pipeline.detector.windows import WindowDetector
from vae_pipeline.errors import CalibrationError
from vae_pipeline.features.image_anomalies import HELD_OUT, as_pictures, planes, salience, with_anomalies
from vae_pipeline.features.inputs import colour_means
from vae_pipeline.features.pair_set import Paired, PairSet
from vae_pipeline.features.windows import evenly
from vae_pipeline.records import Dataset, FusionCalibration

__all__ = ["calibrate_pairs", "chosen_form"]

PARTNERS = 64
"""Normal samples of the other modality that each is shown beside in turn."""
ANOMALOUS = 200
"""Anomalous samples of each modality that forms are compared on."""
MOST = 3000
"""Windows of the calibration part that are used, about: neighbours tell little more."""
MARGIN = 0.02
"""PR-AUC by which another form must win over the sum."""
REFERENCE_SIZE = 1000


def calibrate_pairs(
    dataset: Dataset, data_version: str, pairs: PairSet, network: Path
) -> tuple[PairDetector, CalibrationReport]:
    """Calibrate each modality, put both on one scale, choose the form and set the threshold on normal pairs.

    Args:
        dataset: its ``calibration`` states form and threshold where they are not to be chosen.
        data_version: version of the data the network was fitted on.
        pairs: the opened features folder.
        network: the exported ``model.onnx``.

    Raises:
        CalibrationError: too few normal pairs, or scores that are not finite.
    """
    stated = cast("FusionCalibration", dataset.calibration)
    session = PairSession(network)
    split = _split(network)
    paired = pairs.paired("calibrate")
    normal = paired.subset(np.flatnonzero(paired.label != 1))
    if len(normal) < PARTNERS:
        msg = f"{dataset.name}: {len(normal)} normal calibration pairs, {PARTNERS} are needed; raise pairs.calibrate"
        raise CalibrationError(msg)
    some = evenly(len(normal), PARTNERS)
    shown = WindowView(session, split, normal.pixels[normal.images[some]])
    seen = ImageView(session, split, normal.windows.take(some))
    thinned = replace(
        pairs.windows, stride=pairs.windows.stride * max(1, len(pairs.windows.windows("calibrate")) // MOST)
    )
    windows, window_report = calibrate_windows(pairs.datasets["windows"], data_version, thinned, shown)
    images, image_report, crossed = calibrated_and_crossed(pairs.datasets["images"], data_version, pairs.images, seen)
    together = (
        _together(windows, session, split, normal),
        np.array([crossed[place] for place in normal.images.tolist()]),
    )
    changes = _without_partner(session, split, windows, images, normal)
    scorer = PairScorer.fit("sum", together, changes[0], together[1] + changes[1])
    forms = _compared(scorer, together, windows, images, pairs)
    form = stated.form or chosen_form(forms)
    scorer = scorer.with_form(form, together)
    scores = scorer.combine(*together)
    kept = evenly(len(scores), REFERENCE_SIZE)
    detector = PairDetector(
        PairDescription(
            line=dataset.line,
            dataset=dataset.name,
            data_version=data_version,
            form=(form,),
            threshold=choose(scores, np.zeros(len(scores), dtype=np.int8), stated),
            windows=windows.description,
            images=images.description,
            split=split,
        ),
        windows,
        images,
        scorer,
        session,
        {"scores": scores[kept], "windows": together[0][kept], "images": together[1][kept], "units": normal.unit[kept]},
    )
    detector.reference |= _where_they_lie(detector, pairs, normal.subset(kept))
    criterion = f"windows by {window_report.criterion}, images by {image_report.criterion}"
    return detector, CalibrationReport.of(np.ones(len(normal), dtype=bool), criterion, forms, "pairs")


def _where_they_lie(detector: PairDetector, pairs: PairSet, normal: Paired) -> dict[str, np.ndarray]:
    """Latents of normal pairs, and the means of their inputs where those can be told."""
    latents, colours = [], []
    for first in range(0, len(normal), PAIR_BATCH):
        some = np.arange(first, min(first + PAIR_BATCH, len(normal)))
        pixels = normal.pixels[normal.images[some]]
        latents.append(detector.judged(normal.windows.take(some), pixels).latent)
        colours.append(colour_means(pixels))
    found = {"latents": np.concatenate(latents)}
    if (inputs := pairs.windows.inputs(normal.windows)) is not None:
        found["inputs"] = np.concatenate([inputs, np.concatenate(colours)], axis=1)
    return found


def chosen_form(forms: tuple[FormFigure, ...]) -> str:
    """The sum, unless another form separates better by `MARGIN`."""
    return clearly_best({entry.form[0]: entry.pr_auc for entry in forms}, "sum", MARGIN)


def _split(network: Path) -> int:
    """The first latent that was the image's, from ``network.json`` beside the network."""
    shape = json.loads((network.parent / "network.json").read_text())
    return min(int(shape["windows"]["latent"]), int(shape["latent"]) - 1)


def _normal_images(pairs: PairSet) -> np.ndarray:
    """Places of normal calibration images, at most `REFERENCE_SIZE`."""
    places = pairs.images.index("calibrate")
    normal = places[pairs.images.label[places] != 1]
    return normal[evenly(len(normal), REFERENCE_SIZE)]


def _together(windows: WindowDetector, session: PairSession, split: int, normal: Paired) -> np.ndarray:
    """Scores of the windows of normal pairs, each beside its own image, shape (n,)."""
    found = []
    for first in range(0, len(normal), PAIR_BATCH):
        some = np.arange(first, min(first + PAIR_BATCH, len(normal)))
        seen = session.observe_pairs(
            normal.windows.take(some), normal.pixels[normal.images[some]], split, only="windows"
        ).windows
        found.append(windows.score_observation(seen) if seen else np.empty(0))
    return np.concatenate(found)


def _without_partner(
    session: PairSession, split: int, windows: WindowDetector, images: ImageDetector, normal: Paired
) -> tuple[np.ndarray, float]:
    """Scores of normal windows without an image, (n,), and what a missing window adds to the score of an image.

    Images are part of the statistics they would be scored with here, so the scores themselves would be flattered.
    """
    by_window = WindowView(session, split)
    seen = np.concatenate([windows.score_observation(batch) for batch in by_window.batches(normal.windows)])
    places = np.unique(normal.images)
    partner = ImageView(session, split, normal.windows.take(slice(0, 1)))
    with_window, without = (
        np.concatenate([images.score_observation(batch) for batch in view.image_batches(normal.pixels, places)])
        for view in (partner, ImageView(session, split))
    )
    return seen, float(np.median(without - with_window))


def _compared(
    scorer: PairScorer,
    together: tuple[np.ndarray, np.ndarray],
    windows: WindowDetector,
    images: ImageDetector,
    pairs: PairSet,
) -> tuple[FormFigure, ...]:
    """Every form's separation of normal pairs from those with an anomaly in one modality."""
    random = np.random.default_rng(0)
    faulty = _faulty_windows(windows, pairs, random)
    spoilt = _spoilt_images(images, pairs, random)
    partners = [
        random.choice(scores, count) for scores, count in zip(together, (len(spoilt), len(faulty)), strict=True)
    ]
    scores = (
        np.concatenate([together[0], faulty, partners[0]]),
        np.concatenate([together[1], partners[1], spoilt]),
    )
    anomalous = np.arange(len(scores[0])) >= len(together[0])
    figures = []
    for form in FORMS:
        found = scorer.with_form(form, together).combine(*scores)
        figures.append(
            FormFigure(form=(form,), roc_auc=roc_auc(found, anomalous), pr_auc=average_precision(found, anomalous))
        )
    return tuple(figures)


def _faulty_windows(windows: WindowDetector, pairs: PairSet, random: np.random.Generator) -> np.ndarray:
    """Scores of anomalous calibration windows, or of normal ones with a synthetic fault where there are none."""
    every = pairs.windows.windows("calibrate")
    labels = pairs.windows.labels(every)
    anomalous = np.flatnonzero(labels == 1)
    if len(anomalous):
        chosen = every.subset(anomalous[evenly(len(anomalous), ANOMALOUS)])
        return np.concatenate([windows.score_observation(batch) for batch in windows.session.batches(chosen)])
    normal = np.flatnonzero(labels != 1)
    changed = faulty_batches(every, normal[evenly(len(normal), ANOMALOUS)], random)
    return np.concatenate([windows.score_observation(windows.session.observe(batch)) for batch in changed])


def _spoilt_images(images: ImageDetector, pairs: PairSet, random: np.random.Generator) -> np.ndarray:
    """Scores of normal calibration images with synthetic anomalies of kinds the network was not trained on."""
    normal = _normal_images(pairs)
    pixels, chance = pairs.images.pixels, salience(pairs.images.pixels, normal)
    found = []
    for kind in HELD_OUT:
        places = normal[evenly(len(normal), ANOMALOUS // len(HELD_OUT))]
        for first in range(0, len(places), PAIR_BATCH):
            some = places[first : first + PAIR_BATCH]
            donors = planes(pixels[normal[random.integers(len(normal), size=len(some))]])
            changed, mask = with_anomalies(
                planes(pixels[some]), donors, np.ones(len(some), dtype=bool), (kind,), chance, random
            )
            scores = images.score_observation(images.session.observe_images(as_pictures(changed)))
            found.append(scores[mask.any((1, 2))])
    return np.concatenate(found)
