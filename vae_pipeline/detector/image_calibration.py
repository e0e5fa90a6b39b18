"""A network of images to a calibrated detector: which maps, how placed, and from which score on it alarms.

Maps are standardised by normal calibration images, and the threshold is set on scores of normal calibration images, so
these are cut in halves and each half is scored with the statistics of the other. Forms are compared on the same
halves, normal images against the same with anomalies of kinds that the network was never trained on.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from vae_pipeline.calibration.maps import MAPS, MapScorer, NormalMaps, evidence
from vae_pipeline.calibration.separation import average_precision, clearly_best, roc_auc
from vae_pipeline.calibration.thresholds import choose
from vae_pipeline.detector.description import ImageDescription
from vae_pipeline.detector.images import ImageDetector
from vae_pipeline.detector.report import CalibrationReport, FormFigure
from vae_pipeline.detector.session import IMAGE_BATCH, NetworkSession
from vae_pipeline.errors import CalibrationError
from vae_pipeline.features.image_anomalies import HELD_OUT, as_pictures, planes, salience, with_anomalies
from vae_pipeline.features.image_set import ImageSet
from vae_pipeline.features.inputs import colour_means
from vae_pipeline.features.stored_images import Pixels
from vae_pipeline.features.windows import evenly
from vae_pipeline.records import Dataset, ImageCalibration

__all__ = ["FORMS", "calibrate_images", "calibrated_and_crossed", "chosen_form"]

FORMS: tuple[tuple[str, ...], ...] = (
    ("residual", "structure"),
    ("residual", "head"),
    ("structure", "head"),
    ("residual", "structure", "head"),
)
"""Forms of several maps; every calibration compares them with each other and with each map by itself."""

PLACEMENTS = ("pixel", "image")

MARGIN = 0.02
"""By which another form must win: synthetic anomalies are a stand-in for real ones."""

REFERENCE_SIZE = 1000
FEWEST = 4
COMPARED = 64
"""Normal images on which forms are compared, each with an anomaly of every kind."""
PIXELS = 200_000


class _Compared(NamedTuple):
    """Evidence of some normal calibration images, and of the same with anomalies.

    Attributes:
        found: shape (n, 3, size, size).
        half: which half each comes from, 0 or 1, shape (n,).
        mask: shape (n, size, size), boolean; empty for the images as they are.
    """

    found: np.ndarray
    half: np.ndarray
    mask: np.ndarray

    @property
    def anomalous(self) -> np.ndarray:
        """Whether an anomaly can be seen, boolean (n,)."""
        return np.asarray(self.mask.any((1, 2)))


Halves = tuple[MapScorer, MapScorer]
"""Scorers with the statistics of one half of the normal images each; they score the other half."""


def calibrate_images(
    dataset: Dataset, data_version: str, images: ImageSet, network: Path | NetworkSession
) -> tuple[ImageDetector, CalibrationReport]:
    """Fit the maps' statistics, choose the form and set the threshold on normal calibration images.

    Args:
        dataset: its ``calibration`` states form, placement and threshold where they are not to be chosen.
        data_version: version of the data the network was fitted on.
        images: the opened features folder.
        network: the exported ``model.onnx``, or a session that runs it.

    Raises:
        CalibrationError: fewer than four normal calibration images, or scores that are not finite.
    """
    return calibrated_and_crossed(dataset, data_version, images, network)[:2]


def calibrated_and_crossed(
    dataset: Dataset, data_version: str, images: ImageSet, network: Path | NetworkSession
) -> tuple[ImageDetector, CalibrationReport, dict[int, float]]:
    """As `calibrate_images`, and the score of every normal calibration image, by its place.

    Each is scored with the statistics of the half it is not in; the detector's reference holds some of them.
    """
    session = network if isinstance(network, NetworkSession) else NetworkSession(network)
    stated = cast("ImageCalibration", dataset.calibration)
    calibrate = images.index("calibrate")
    normal = calibrate[images.label[calibrate] != 1]
    if len(normal) < FEWEST:
        msg = (
            f"{dataset.name}: {len(normal)} normal calibration images, {FEWEST} are needed; raise split.calibrate or "
            "add some"
        )
        raise CalibrationError(msg)
    whole = MapScorer(NormalMaps.fit(_evidence(session, images.pixels, normal, stated)), stated.smoothing, stated.top)
    halves = _halves(session, images.pixels, normal, stated)
    compared = _observed_with_anomalies(session, images.pixels, normal, stated, dataset.split.seed)
    alone = _alone(halves, compared, stated, has_head=session.has_head)
    best = _best_placed(alone)
    placements = tuple(str(best[name].placement) if name in best else "pixel" for name in MAPS)
    halves = _with_units(halves, compared, placements)
    together = _compare(halves, compared, placements, has_head=session.has_head)
    form = stated.score or chosen_form((*best.values(), *together))
    _require_maps(form, has_head=session.has_head)
    whole = replace(whole, form=form, placements=placements, unit=np.mean([half.unit for half in halves], axis=0))
    parts, highest, latents = _crossed(session, images.pixels, normal, halves, form)
    whole = whole.with_parts(parts)
    scores = whole.combine(parts)
    threshold = choose(scores, np.zeros(len(scores), dtype=np.int8), stated)
    kept = evenly(len(scores), REFERENCE_SIZE)
    detector = ImageDetector(
        ImageDescription(
            line=dataset.line,
            dataset=dataset.name,
            data_version=data_version,
            form=form,
            threshold=threshold,
            size=images.size,
            imaging=dataset.imaging,
            placements=placements,
            smoothing=stated.smoothing,
            top=stated.top,
            map_level=float(np.quantile(highest, 1.0 - stated.false_alarm_rate)),
        ),
        whole,
        session,
        {
            "scores": scores[kept],
            "latents": latents[kept],
            "inputs": np.stack([colour_means(images.pixels[place]) for place in normal[kept].tolist()]),
            "units": np.arange(len(kept)),
        },
        images.registration,
    )
    report = CalibrationReport.of(
        np.ones(len(normal), dtype=bool), "synthetic anomalies", (*alone, *together), "images"
    )
    return detector, report, dict(zip(normal.tolist(), scores.tolist(), strict=True))


def chosen_form(forms: tuple[FormFigure, ...]) -> tuple[str, ...]:
    """All maps there are, unless another form is better by `MARGIN`.

    Better is the mean of the ROC-AUC of images and that of pixels: a map that finds the image and not the place, or the
    place and not the image, is half a map.
    """
    figures = {entry.form: entry.both for entry in forms}
    default = max(figures, key=len)
    return clearly_best(figures, default, MARGIN)


def _require_maps(form: tuple[str, ...], *, has_head: bool) -> None:
    if "head" in form and not has_head:
        msg = f"calibration.score {form}: the network has no head; leave it out, or train with training.head"
        raise CalibrationError(msg)


def _evidence(
    session: NetworkSession, pixels: Pixels, index: np.ndarray, stated: ImageCalibration
) -> Iterator[np.ndarray]:
    for batch in session.image_batches(pixels, index):
        yield evidence(batch, stated.smoothing)


def _halves(session: NetworkSession, pixels: Pixels, normal: np.ndarray, stated: ImageCalibration) -> Halves:
    first, second = (
        MapScorer(NormalMaps.fit(_evidence(session, pixels, normal[number::2], stated)), stated.smoothing, stated.top)
        for number in (0, 1)
    )
    return first, second


def _with_units(halves: Halves, compared: _Compared, placements: tuple[str, ...]) -> Halves:
    first, second = (
        replace(half, placements=placements).with_units(compared.found[(compared.half != number) & ~compared.anomalous])
        for number, half in enumerate(halves)
    )
    return first, second


def _alone(halves: Halves, compared: _Compared, stated: ImageCalibration, *, has_head: bool) -> tuple[FormFigure, ...]:
    """Every map by itself in every placement that is not ruled out."""
    figures = []
    for placement in (stated.placement,) if stated.placement else PLACEMENTS:
        placed = _with_units(halves, compared, (placement,) * len(MAPS))
        parts, scaled = _judged(placed, compared)
        for number, name in enumerate(MAPS):
            if name != "head" or has_head:
                figures.append(_figure((name,), parts[:, number], scaled[:, number], compared, placement))
    return tuple(figures)


def _best_placed(alone: tuple[FormFigure, ...]) -> dict[str, FormFigure]:
    """The better placement of each map."""
    best: dict[str, FormFigure] = {}
    for entry in alone:
        (name,) = entry.form
        if name not in best or entry.both > best[name].both:
            best[name] = entry
    return best


def _judged(halves: Halves, compared: _Compared) -> tuple[np.ndarray, np.ndarray]:
    """Parts (n, 3) and scaled evidence (n, 3, size, size), each image by the half it is not in."""
    parts, scaled = np.empty((len(compared.found), len(MAPS))), np.empty_like(compared.found)
    for number, half in enumerate(halves):
        mine = compared.half != number
        scaled[mine] = half.scaled(compared.found[mine])
        parts[mine] = half.parts(scaled[mine])
    return parts, scaled


def _figure(
    form: tuple[str, ...], scores: np.ndarray, maps: np.ndarray, compared: _Compared, placement: str | None
) -> FormFigure:
    pixel, anomalous = compared.mask.ravel(), compared.anomalous
    some = slice(None, None, max(1, len(pixel) // PIXELS))
    return FormFigure(
        form=form,
        placement=placement,
        roc_auc=roc_auc(scores, anomalous),
        pr_auc=average_precision(scores, anomalous),
        pixel_roc_auc=roc_auc(maps.ravel()[some], pixel[some]),
    )


def _observed_with_anomalies(
    session: NetworkSession, pixels: Pixels, normal: np.ndarray, stated: ImageCalibration, seed: int
) -> _Compared:
    random = np.random.default_rng(seed)
    # as many of either half, whatever their number: each half's scorer judges the images of the other
    chosen = [2 * evenly(len(normal[half::2]), COMPARED // 2) + half for half in (0, 1)]
    places = np.sort(np.concatenate(chosen))
    chance = salience(pixels, normal)
    found, halves, masks = [], [], []
    for first in range(0, len(places), IMAGE_BATCH):
        some = places[first : first + IMAGE_BATCH]
        clean = planes(pixels[normal[some]])
        donors = planes(pixels[normal[random.integers(len(normal), size=len(some))]])
        everyone = np.ones(len(some), dtype=bool)
        changed = [(clean, np.zeros((len(some), *clean.shape[2:]), dtype=bool))]
        changed += [with_anomalies(clean, donors, everyone, (kind,), chance, random) for kind in HELD_OUT]
        for values, mask in changed:
            found.append(evidence(session.observe_images(as_pictures(values)), stated.smoothing))
            halves.append(some % 2)
            masks.append(mask)
    return _Compared(np.concatenate(found), np.concatenate(halves), np.concatenate(masks))


def _compare(
    halves: Halves, compared: _Compared, placements: tuple[str, ...], *, has_head: bool
) -> tuple[FormFigure, ...]:
    """Every form of several maps, each map placed as it is best."""
    parts, scaled = _judged(halves, compared)
    scorer = halves[0].with_parts(parts[~compared.anomalous])
    figures = []
    for form in FORMS:
        if "head" in form and not has_head:
            continue
        one = replace(scorer, form=form)
        placed = ", ".join(placements[MAPS.index(name)] for name in form)
        figures.append(_figure(form, one.combine(parts), one.map(scaled), compared, placed))
    return tuple(figures)


def _crossed(
    session: NetworkSession, pixels: Pixels, normal: np.ndarray, halves: Halves, form: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of normal images, each by the half it is not in: parts (n, 3), the map's highest pixels (n,), latents."""
    parts, highest = np.empty((len(normal), len(MAPS))), np.empty(len(normal))
    latents: list[np.ndarray] = [np.empty(0)] * len(normal)
    for number, half in enumerate(halves):
        scorer = replace(half, form=form)
        places = np.flatnonzero(np.arange(len(normal)) % 2 != number)
        done = 0
        for batch in session.image_batches(pixels, normal[places]):
            some = places[done : done + len(batch.images)]
            scaled = scorer.scaled(evidence(batch, scorer.smoothing))
            parts[some], highest[some] = scorer.parts(scaled), scorer.highest(scorer.map(scaled))
            for place, latent in zip(some, batch.latent, strict=True):
                latents[place] = latent
            done += len(batch.images)
    return parts, highest, np.stack(latents)
