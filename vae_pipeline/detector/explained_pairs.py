"""Why pairs have their scores: which side, which sensors of the window, which regions of the image."""

from typing import TYPE_CHECKING

import numpy as np

from vae_pipeline.detector.explained import Named, explained
from vae_pipeline.detector.explained_images import ExplainedImage, shown_regions
from vae_pipeline.detector.explained_windows import explained_sensors
from vae_pipeline.errors import DetectorError
from vae_pipeline.explanation.explanation import Explanation, ModalityEvidence
from vae_pipeline.features.registration import Placement

if TYPE_CHECKING:
    from vae_pipeline.detector.pairs import PairDetector

__all__ = ["explain_pair"]


def explain_pair(
    detector: "PairDetector",
    window: np.ndarray | None,
    image: tuple[np.ndarray, Placement | None, tuple[int, int]] | None,
    called: Named,
) -> tuple[Explanation, ExplainedImage | None]:
    """Why a pair has its score, and what a picture of its image takes; either side may be missing.

    Args:
        detector: of pairs.
        window: scaled, shape (channels, time), float32.
        image: as the network sees it, uint8 (size, size, 3), how its object lay, and its height and width as it came.
        called: what the pair is called.

    Raises:
        DetectorError: both sides are missing.
    """
    if window is None and image is None:
        msg = f"{detector.description.name}: {called.name} has neither a window nor an image; leave it out"
        raise DetectorError(msg)
    found = detector.session.observe_pairs(
        None if window is None else window[None], None if image is None else image[0][None], detector.description.split
    )
    seen = None if found.windows is None else detector.windows.score_observation(found.windows)
    maps, shown = (None, None) if found.images is None else detector.images.judge(found.images)
    score = detector.scorer.combine(seen, shown)
    sides = [
        (name, float(values[0]))
        for name, values in zip(("window", "image"), detector.scorer.surprises(seen, shown), strict=True)
        if values is not None
    ]
    whole = sum(surprise for _, surprise in sides)
    sensors = () if found.windows is None else explained_sensors(detector.windows, found.windows)
    modalities = tuple(
        ModalityEvidence(name=name, surprise=surprise, share=surprise / whole if whole else 1.0 / len(sides))
        for name, surprise in sides
    )
    if maps is None or image is None or found.images is None:
        return explained(detector, called, float(score[0]), sensors, modalities=modalities), None
    regions = shown_regions(detector.images, maps[0], *image[1:])
    explanation = explained(detector, called, float(score[0]), sensors, modalities=modalities, regions=regions.found)
    return explanation, ExplainedImage(explanation, regions.map, regions.ranks, found.images.reconstruction[0])
