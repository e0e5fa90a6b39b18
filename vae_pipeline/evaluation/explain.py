"""The highest alarms of the test part explained: a report each, and a summary of the run. No label is read."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from vae_pipeline.detector.detector import Detector
from vae_pipeline.detector.explained import Named
from vae_pipeline.detector.explained_clips import explain_clip
from vae_pipeline.detector.explained_images import explain_image
from vae_pipeline.detector.explained_pairs import explain_pair
from vae_pipeline.detector.images import ImageDetector
from vae_pipeline.detector.pairs import PairDetector
from vae_pipeline.detector.sounds import SoundDetector
from vae_pipeline.detector.windows import WindowDetector
from vae_pipeline.errors import SettingError
from vae_pipeline.evaluation.attribution import Attributor
from vae_pipeline.evaluation.explanation_figures import image_figure, stacked, window_figure
from vae_pipeline.evaluation.explanation_page import explanation_page, summary_page
from vae_pipeline.evaluation.result import Told
from vae_pipeline.evaluation.shapley import FeatureTable
from vae_pipeline.explanation.chosen import spread_highest
from vae_pipeline.explanation.explanation import Attribution, Explanation
from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline.features.image_set import ImageSet
from vae_pipeline.features.pair_set import PairSet
from vae_pipeline.records import Dataset, Explaining, Record
from vae_pipeline.storage import write_bytes, write_json

__all__ = ["ExplanationSummary", "Frequent", "Reported", "explain_test_part", "frequent", "write_report"]

GRADIENTS = "integrated gradients"
RESIDUAL_GRADIENTS = "integrated gradients (of the residual part of the score)"


class Frequent(Record):
    """What stood out in a run: a sensor, or the number of regions of an image."""

    name: str
    first: int
    share: float


class ExplanationSummary(Record):
    """A run's explanations: of ``alarms`` among ``samples``, the ``explained`` highest, spread over units."""

    dataset: str
    detector: str
    samples: int
    alarms: int
    explained: tuple[str, ...]
    frequent: tuple[Frequent, ...]


class Reported(NamedTuple):
    """An explanation and the picture that goes with it, PNG."""

    explanation: Explanation
    picture: bytes


def explain_test_part(
    dataset: Dataset, features: Path, trained: Path, calibrated: Path, folder: Path, told: Told | None = None
) -> ExplanationSummary:
    """Explain the highest alarms and write what comes of it.

    Args:
        dataset: its medium says which detector.
        features: the features folder the detector was calibrated on.
        trained: the trained folder, whose weights give gradients.
        calibrated: holds ``detector/``.
        folder: gets ``index.html``, ``summary.json`` and for each anomaly ``01.json``, ``01.html`` and ``01.png``.
        told: called with a word on what is being done.

    Raises:
        SettingError: SHAP was asked for and is not installed, or the dataset has no tables.
    """
    asked = dataset.explanation
    if asked.attribution == "shap" and dataset.medium != "table":
        msg = f"attribution: shap explains statistics of tables; {dataset.name} is {dataset.medium}; leave it out"
        raise SettingError(msg)
    tell = told or (lambda _: None)
    detector = Detector.load(calibrated / "detector")
    if dataset.medium == "image":
        scores, reported = _images(cast("ImageDetector", detector), ImageSet.open(features), trained, asked.most)
    elif dataset.medium == "pair":
        scores, reported = _pairs(cast("PairDetector", detector), PairSet.open(features), asked.most)
    elif dataset.medium == "sound":
        scores, reported = _clips(cast("SoundDetector", detector), FeatureSet.open(features), trained, asked.most)
    else:
        scores, reported = _windows(cast("WindowDetector", detector), FeatureSet.open(features), trained, asked)
    alarms = int(detector.decide(scores).sum())
    tell(f"explaining {min(alarms, asked.most)} of {alarms:,} alarms")
    explained = []
    for number, one in enumerate(reported, start=1):
        write_report(folder, f"{number:02d}", one, unit_of_rows="frame" if dataset.medium == "sound" else "row")
        explained.append((one.explanation, f"{number:02d}.html"))
    found = [explanation for explanation, _ in explained]
    summary = ExplanationSummary(
        dataset=dataset.name,
        detector=detector.description.name,
        samples=len(scores),
        alarms=alarms,
        explained=tuple(explanation.name for explanation in found),
        frequent=frequent(found),
    )
    write_json(folder / "summary.json", summary)
    words = (
        f"The {len(found)} highest of {alarms:,} alarms among {len(scores):,} test samples, spread over units."
        if found
        else f"No alarm among {len(scores):,} test samples."
    )
    rows = [(each.name, each.first, each.share) for each in summary.frequent]
    page = summary_page(f"{detector.description.name}: why", words, explained, rows)
    write_bytes(folder / "index.html", page.encode())
    return summary


def write_report(folder: Path, name: str, reported: Reported, *, unit_of_rows: str = "row") -> None:
    """Write an explanation as ``<name>.json`` and ``<name>.html``, with its picture beside them."""
    write_json(folder / f"{name}.json", reported.explanation)
    write_bytes(folder / f"{name}.png", reported.picture)
    page = explanation_page(reported.explanation, reported.picture, unit_of_rows=unit_of_rows)
    write_bytes(folder / f"{name}.html", page.encode())


def frequent(explanations: Sequence[Explanation]) -> tuple[Frequent, ...]:
    """What stood out most often: by how often a sensor came first, then by its mean share.

    Images have no sensors; of them the number of regions is told.
    """
    first: dict[str, int] = {}
    share: dict[str, float] = {}
    for explanation in explanations:
        parts = [(sensor.name, sensor.share) for sensor in explanation.sensors]
        if explanation.medium == "image":
            count = len(explanation.regions)
            parts = [(f"{count} region{'s' * (count != 1)}", 1.0)]
        for rank, (name, part) in enumerate(parts):
            first[name] = first.get(name, 0) + (rank == 0)
            share[name] = share.get(name, 0.0) + part / len(explanations)
    order = sorted(first, key=lambda name: (-first[name], -share[name]))
    return tuple(Frequent(name=name, first=first[name], share=share[name]) for name in order[:10])


def _windows(
    detector: WindowDetector, features: FeatureSet, trained: Path, asked: Explaining
) -> tuple[np.ndarray, Iterator[Reported]]:
    windows = features.windows("test")
    scores = detector.score_scaled(windows).score
    alarms = np.flatnonzero(detector.decide(scores))
    units = features.units(windows)
    order = alarms[spread_highest(scores[alarms], units[alarms], windows.ends[alarms], windows.length, asked.most)]

    def reported() -> Iterator[Reported]:
        by_shap = asked.attribution == "shap"
        attributor = None if by_shap else Attributor.of_windows(trained, detector, features)
        statistics = FeatureTable.fitted(detector, features) if by_shap else None
        for place in order.tolist():
            end = int(windows.ends[place])
            unit, row = features.unit_names[units[place]], int(features.file_row[end]) + 1
            called = Named(f"{unit}, row {row}", unit, f"{features.row_time[end]:.15g}", row)
            one = windows.subset(np.array([place]))
            (explanation,) = detector.explain_scaled(one, [called])
            if statistics:
                update = {"attribution": statistics.attributed(one), "attribution_by": statistics.described}
                explanation = explanation.model_copy(update=update)
            elif attributor:
                parts = attributor.attributed(one.take(slice(None))[0]).sum(1)
                explanation = _with_sensors(explanation, features.sensors, parts)
            yield Reported(explanation, window_figure(explanation))

    return scores, reported()


def _clips(
    detector: SoundDetector, features: FeatureSet, trained: Path, most: int
) -> tuple[np.ndarray, Iterator[Reported]]:
    windows = features.windows("test")
    units = features.units(windows)
    codes, scores = detector.score_units(windows, units)
    alarms = np.flatnonzero(detector.decide(scores))
    order = alarms[np.argsort(-scores[alarms], kind="stable")][:most]

    def reported() -> Iterator[Reported]:
        attributor = Attributor.of_clips(trained, detector, features)
        for place in order.tolist():
            clip, name = windows.subset(units == codes[place]), features.unit_names[codes[place]]
            explanation = explain_clip(detector, clip, Named(name, name))
            parts = attributor.attributed(clip.take(slice(None))).sum((0, 2))
            explanation = _with_sensors(explanation, features.sensors, parts)
            yield Reported(explanation, window_figure(explanation))

    return scores, reported()


def _images(
    detector: ImageDetector, images: ImageSet, trained: Path, most: int
) -> tuple[np.ndarray, Iterator[Reported]]:
    index = images.index("test")
    scores = detector.score_images(images.pixels, index).score
    alarms = np.flatnonzero(detector.decide(scores))
    order = alarms[np.argsort(-scores[alarms], kind="stable")][:most]

    def reported() -> Iterator[Reported]:
        attributor = Attributor.of_images(trained, detector, images)
        for image in index[order].tolist():
            pixels, (height, width) = images.pixels[image], images.shapes[image].tolist()
            called = Named(images.names[image], images.names[image])
            explained = explain_image(detector, pixels, images.placements[image], (height, width), called)
            gradients = attributor.attributed(pixels.transpose(2, 0, 1) / 255.0).sum(0)
            parts = images.lying(image, gradients.astype(np.float32))
            explanation = explained.explanation.model_copy(
                update={"attribution": _by_region(parts, explained.regions), "attribution_by": RESIDUAL_GRADIENTS}
            )
            level = detector.description.map_level
            picture = image_figure(images.as_it_came(image), explained.map, explained.regions, level, np.abs(parts))
            yield Reported(explanation, picture)

    return scores, reported()


def _pairs(detector: PairDetector, pairs: PairSet, most: int) -> tuple[np.ndarray, Iterator[Reported]]:
    paired = pairs.paired("test")
    scores = detector.score_paired(paired).score
    alarms = np.flatnonzero(detector.decide(scores))
    ends = paired.windows.ends
    order = alarms[spread_highest(scores[alarms], paired.unit[alarms], ends[alarms], paired.windows.length, most)]

    def reported() -> Iterator[Reported]:
        images, level = pairs.images, detector.images.description.map_level
        for place in order.tolist():
            image, end = int(paired.images[place]), int(ends[place])
            unit, row = pairs.windows.unit_names[paired.unit[place]], int(pairs.windows.file_row[end]) + 1
            time = f"{pairs.windows.row_time[end]:.15g}"
            called = Named(f"{unit}, row {row}, with {images.names[image]}", unit, time, row)
            pixels, (height, width) = images.pixels[image], images.shapes[image].tolist()
            given = (pixels, images.placements[image], (height, width))
            explanation, shown = explain_pair(detector, paired.windows.take(np.array([place]))[0], given, called)
            pictures = [window_figure(explanation)]
            if shown is not None:
                pictures.append(image_figure(images.as_it_came(image), shown.map, shown.regions, level, None))
            yield Reported(explanation, stacked(pictures))

    return scores, reported()


def _with_sensors(explanation: Explanation, sensors: tuple[str, ...], parts: np.ndarray) -> Explanation:
    order: list[int] = np.argsort(-np.abs(parts), kind="stable").tolist()
    attribution = tuple(Attribution(name=sensors[place], value=float(parts[place])) for place in order)
    return explanation.model_copy(update={"attribution": attribution, "attribution_by": GRADIENTS})


def _by_region(parts: np.ndarray, regions: np.ndarray) -> tuple[Attribution, ...]:
    """What the pixels of each region account for, and those elsewhere; ``parts`` may be of another size."""
    rows, columns = ((np.arange(side) * whole) // side for side, whole in zip(parts.shape, regions.shape, strict=True))
    ranks = regions[rows][:, columns]
    named = [*((f"region {rank}", rank) for rank in range(1, int(regions.max()) + 1)), ("elsewhere", 0)]
    return tuple(Attribution(name=name, value=float(parts[ranks == rank].sum())) for name, rank in named)
