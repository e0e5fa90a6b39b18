"""A calibrated detector of images on the test part, beside baselines: which image, and where in it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from vae_pipeline.calibration.maps import MAPS
from vae_pipeline.detector.images import ImageDetector, full_size
from vae_pipeline.detector.report import CalibrationReport
from vae_pipeline.evaluation import figures, image_figures
from vae_pipeline.evaluation.card import data_facts, model_card, threshold_facts
from vae_pipeline.evaluation.image_baselines import IMAGE_DESCRIPTIONS, Images, run_image_baselines
from vae_pipeline.evaluation.localisation import PixelScores
from vae_pipeline.evaluation.metrics import Scored, cannot, detection_metrics
from vae_pipeline.evaluation.result import Evaluation, Told, ranked, write_result
from vae_pipeline.features.image_set import ImageSet
from vae_pipeline.records import Dataset, ImageTraining

__all__ = ["evaluate_images"]

DESCRIPTIONS = {"mean_error": "mean squared error of the same network", **IMAGE_DESCRIPTIONS}

GOOD = "good"
CASES = 4
"""Of the best and of the worst cases each."""


class _Found(NamedTuple):
    """Scores of the test images by the detector and by the mean error of its network, with their pixels counted."""

    scores: np.ndarray
    mean_error: np.ndarray
    pixels: PixelScores
    mean_error_pixels: PixelScores


def evaluate_images(
    dataset: Dataset,
    detector: ImageDetector,
    images: ImageSet,
    report: CalibrationReport,
    *,
    history: Sequence[Mapping[str, float]],
    folder: Path,
    told: Told,
    tuned: str = "",
) -> Evaluation:
    """Score the test part, compare, draw and write; see `vae_pipeline.evaluation.evaluate`."""
    index = images.index("test")
    told(f"scoring {len(index):,} test images")
    found = _scored(detector, images, index)
    label = images.label[index]
    scored = Scored.alone(found.scores, label)
    threshold = detector.description.threshold
    seed = dataset.split.seed
    metrics = detection_metrics(scored, threshold.value, seed=seed, noun="images") | _where(found.pixels)
    others = {"mean_error": (found.mean_error, found.mean_error_pixels)}
    normal = Images(images.pixels, images.index("fit"))
    drawn = run_image_baselines(normal, Images(images.pixels, index), seed, lambda name: told(f"baseline {name}"))
    for name, (scores, maps) in drawn.items():
        others[name] = (scores, _counted(images, index, maps))
    baselines = {name: ranked(scored.with_score(scores)) | _where(pixels) for name, (scores, pixels) in others.items()}
    evaluation = Evaluation(
        metrics=metrics,
        baselines=baselines,
        cannot=tuple(_cannot(scored, found.pixels)),
        groups=_groups(scored, [images.defects[place] for place in index], found.pixels, threshold.value),
    )
    told("drawing figures")
    baseline_scores = {name: scores for name, (scores, _) in others.items()}
    pictures = {
        "cases": _cases(detector, images, index, scored),
        "score_by_defect": image_figures.score_by_defect_figure(
            scored.score, [images.defects[place] for place in index], threshold.value
        ),
        "precision_recall": figures.precision_recall_figure(scored, baseline_scores),
        "roc": figures.roc_figure(scored, baseline_scores),
        "comparison": figures.comparison_figure({"VAE": metrics, **baselines}),
        "histogram": figures.histogram_figure(scored, threshold.value, noun="images"),
        "training": figures.training_figure(history),
    }
    card = _card(dataset, detector, images, report, epochs=len(history), evaluation=evaluation, tuned=tuned)
    write_result(folder, evaluation, scored, index, pictures, card)
    return evaluation


def _scored(detector: ImageDetector, images: ImageSet, index: np.ndarray) -> _Found:
    scores, errors = np.empty(len(index)), np.empty(len(index))
    pixels, error_pixels = PixelScores(), PixelScores()
    done = 0
    for batch, maps, batch_scores in detector.observed(images.pixels, index):
        squared = ((batch.images.astype(np.float32) / np.float32(255) - batch.reconstruction) ** 2).mean(3)
        some = slice(done, done + len(maps))
        scores[some], errors[some] = batch_scores, squared.mean((1, 2))
        for place, score_map, error_map in zip(index[some].tolist(), maps, squared, strict=True):
            mask = images.mask(place)
            _add(pixels, images, place, score_map, mask)
            _add(error_pixels, images, place, error_map, mask)
        done += len(maps)
    return _Found(scores, errors, pixels, error_pixels)


def _counted(images: ImageSet, index: np.ndarray, maps: np.ndarray) -> PixelScores:
    """Pixels of a baseline's maps, shape (n, side, side)."""
    pixels = PixelScores()
    for place, score_map in zip(index.tolist(), maps, strict=True):
        _add(pixels, images, place, score_map, images.mask(place))
    return pixels


def _add(pixels: PixelScores, images: ImageSet, place: int, score_map: np.ndarray, mask: np.ndarray | None) -> None:
    """Count an image's pixels at its own size; one of unknown label, or a defect without a mask, is left out."""
    defect = "" if images.label[place] == 0 else images.defects[place] or "unknown"
    lying = images.lying(place, score_map)
    if mask is None:
        pixels.add(lying, None, defect=defect or "unknown")
    else:
        pixels.add(full_size(lying, (mask.shape[0], mask.shape[1])), mask, defect=defect)


def _where(pixels: PixelScores) -> dict[str, float]:
    found = {"pixel_auroc": pixels.pixel_auroc(), "aupro": pixels.aupro()}
    return {name: float(value) for name, value in found.items() if np.isfinite(value)}


def _groups(
    scored: Scored, defects: Sequence[str], pixels: PixelScores, threshold: float
) -> dict[str, dict[str, float]]:
    """Figures of each kind of defect against all good images."""
    if not (scored.label == 0).any():
        return {}
    kinds = np.array(defects)
    where = pixels.by_defect()
    groups = {}
    for kind in sorted({kind for kind, label in zip(defects, scored.label, strict=True) if label == 1}):
        mine = (kinds == kind) & (scored.label == 1)
        part = scored.take(mine | (scored.label == 0))
        found = {name: value for name, value in ranked(part).items() if name in ("roc_auc", "pr_auc")}
        localised = {name: value for name, value in where.get(kind, {}).items() if np.isfinite(value)}
        groups[kind] = {
            "images": float(mine.sum()),
            **found,
            **{name: localised[name] for name in ("pixel_auroc", "aupro") if name in localised},
            "recall": float((scored.score[mine] > threshold).mean()),
        }
    return groups


def _cannot(scored: Scored, pixels: PixelScores) -> list[str]:
    sentences = cannot(scored, "images")
    if not _where(pixels):
        sentences.append("Pixel ROC-AUC and AUPRO cannot be computed: no anomalous image has a mask.")
    elif pixels.left_out:
        sentences.append(f"{pixels.left_out} anomalous images have no mask and count in no figure of pixels.")
    return sentences


def _cases(detector: ImageDetector, images: ImageSet, index: np.ndarray, scored: Scored) -> bytes:
    """The anomalous images that are found most and least clearly, and the normal ones that come closest to alarms."""
    by_score = np.argsort(-scored.score, kind="stable")
    anomalous = by_score[scored.label[by_score] == 1]
    normal = by_score[scored.label[by_score] != 1]
    chosen = [(place, "found best") for place in anomalous[:CASES]]
    chosen += [(place, "found least") for place in anomalous[CASES:][-CASES:][::-1]]
    chosen += [(place, "normal, highest score") for place in normal[: CASES if len(anomalous) else 2 * CASES]]
    rows = []
    for place, why in chosen:
        image = int(index[place])
        batch, maps, _ = next(detector.observed(images.pixels, np.array([image])))
        mask = images.stored_mask(image)
        caption = f"{images.names[image]}: {why}, score {scored.score[place]:.1f}"
        rows.append((batch.images[0], batch.reconstruction[0], maps[0], mask, caption))
    limit = detector.description.map_level
    return image_figures.cases_figure(rows, "Best, worst and closest cases", threshold=limit)


def _card(
    dataset: Dataset,
    detector: ImageDetector,
    images: ImageSet,
    report: CalibrationReport,
    *,
    epochs: int,
    evaluation: Evaluation,
    tuned: str,
) -> str:
    description, training = detector.description, cast("ImageTraining", dataset.training)
    counts = {part: len(images.index(part)) for part in ("fit", "calibrate", "test")}
    return model_card(
        name=description.name,
        description=f"Variational autoencoder of images at {images.size} pixels"
        f"{' with a segmentation head' if training.head else ''}, for {dataset.title}.",
        data=data_facts(dataset, description.data_version),
        protocol={
            "Split": "by image: " + ", ".join(f"{part} {count}" for part, count in counts.items()),
            "Normal": "images of the class good",
            "Anomalous": "all other test images",
            "Pose": dataset.imaging.pose,
            "Calibration": f"{report.normal_samples:,} normal images that were not fitted on, each scored with the "
            "statistics of the other half",
        },
        model={
            "Width": training.width,
            "Latent dimensions": training.latent,
            "Beta": training.beta,
            "Epochs": epochs,
            **({"Hyperparameters": f"tuned: {tuned}"} if tuned else {}),
            "Score": "sum of "
            + ", ".join(f"{name} by {description.placements[MAPS.index(name)]}" for name in description.form)
            + f", each the standardised logarithm of the mean of the map's highest {description.top:.1%} of pixels",
            "Forms compared on calibration": f"by {report.criterion}: "
            + "; ".join(
                f"{form.name} ROC-AUC {form.roc_auc:.3f}, pixels {form.pixel_roc_auc or 0.0:.3f}"
                for form in report.forms
            ),
        },
        metrics=evaluation.metrics,
        baselines=evaluation.baselines,
        groups=evaluation.groups,
        baseline_descriptions=DESCRIPTIONS,
        threshold=threshold_facts(description.threshold),
        cannot=evaluation.cannot,
        intended_use="Watching products of the kind the images show, with the same camera, light and distance: the "
        "score ranks images by how unlike normal ones they are, the map shows where, and the threshold turns the score "
        "into an alarm for a person to look at.",
        limits=(
            "It has learnt what was normal in the fit part; another product, camera or light alarms without fault "
            "until it is retrained.",
            f"Defects smaller than a pixel at {images.size} pixels on a side cannot be seen.",
            "Do not let it release a product without a person or an independent check.",
        ),
    )
