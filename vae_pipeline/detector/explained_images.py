"""Why images have their scores: which regions, which latents."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from vae_pipeline.calibration.maps import ImageObservation
from vae_pipeline.detector.explained import Named, explained
from vae_pipeline.explanation.explanation import Explanation, LatentEvidence, Region
from vae_pipeline.explanation.latents import explained_latents
from vae_pipeline.explanation.regions import found_regions
from vae_pipeline.features.registration import Placement, restored

if TYPE_CHECKING:
    from vae_pipeline.detector.images import ImageDetector

__all__ = ["LATENTS", "ExplainedImage", "ShownRegions", "explain_image", "full_size", "shown_regions"]

LATENTS = 4
"""Latents that are moved, those farthest from normal: each takes a decoding, and there are 100 ms for all."""


@dataclass(frozen=True, eq=False)
class ExplainedImage:
    """Why an image has its score, with what a picture of it takes.

    Attributes:
        explanation: the record.
        map: how anomalous each pixel is at the image's own size, shape (height, width), float32.
        regions: rank of each pixel's region, from 1 as in the record, 0 where there is none, same shape, int32.
        reconstruction: as the network sees it, shape (size, size, 3), in [0, 1].
    """

    explanation: Explanation
    map: np.ndarray
    regions: np.ndarray
    reconstruction: np.ndarray


def full_size(score_map: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A map at another size, (height, width), bilinear, float32."""
    resampling = Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(score_map.astype(np.float32)).resize((shape[1], shape[0]), resampling))


def explain_image(
    detector: "ImageDetector", image: np.ndarray, placement: Placement | None, shape: tuple[int, int], called: Named
) -> ExplainedImage:
    """Why an image has its score.

    Args:
        detector: of images.
        image: as the network sees it, uint8 (size, size, 3).
        placement: how its object lay; None where it was left as it came.
        shape: height and width of the image as it came.
        called: what it is called.
    """
    observation = detector.session.observe_images(image[None])
    maps, scores = detector.judge(observation)
    regions = shown_regions(detector, maps[0], placement, shape)
    latents = _latents(detector, observation, float(scores[0]))
    explanation = explained(detector, called, float(scores[0]), regions=regions.found, latents=latents)
    return ExplainedImage(explanation, regions.map, regions.ranks, observation.reconstruction[0])


class ShownRegions(NamedTuple):
    """Regions of a map that stand out, the map at the image's own size, and the rank of each pixel's region."""

    found: tuple[Region, ...]
    map: np.ndarray
    ranks: np.ndarray


def shown_regions(
    detector: "ImageDetector", score_map: np.ndarray, placement: Placement | None, shape: tuple[int, int]
) -> ShownRegions:
    """The regions of a map, (size, size), as they lie on the image that came, of ``shape``."""
    whole = full_size(restored(score_map, placement), shape)
    found, ranks = found_regions(whole, detector.description.map_level)
    return ShownRegions(found, whole, ranks)


def _latents(detector: "ImageDetector", observation: ImageObservation, score: float) -> tuple[LatentEvidence, ...]:
    decoder = detector.session.decoder
    if decoder is None:
        return ()

    def moved(latents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        there = decoder.decode_images(latents, np.repeat(observation.images, len(latents), axis=0))
        return detector.score_observation(there), there.reconstruction

    return explained_latents(
        observation.latent[0],
        detector.normal_latents,
        score,
        observation.reconstruction[0],
        moved=moved,
        decoded=None,
        most=LATENTS,
    )
