"""A detector of images: it scores, decides, shows where and explains."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vae_pipeline.calibration.maps import ImageObservation, MapScorer, evidence
from vae_pipeline.detector.description import ImageDescription
from vae_pipeline.detector.detector import Detector, Judged, Progress, Scores, named, under
from vae_pipeline.detector.explained import Named
from vae_pipeline.detector.explained_images import ExplainedImage, explain_image, full_size
from vae_pipeline.detector.session import IMAGE_BATCH, NetworkSession
from vae_pipeline.errors import DetectorError
from vae_pipeline.features.pictures import decode_picture, resized
from vae_pipeline.features.registration import Placement, Registration, restored, straightened
from vae_pipeline.features.stored_images import Pixels

__all__ = ["ImageDetector", "Picture", "ScoredImage", "full_size"]

Picture = Path | tuple[str, bytes]
"""An image file, or a name with the content of one."""


@dataclass(frozen=True)
class ScoredImage:
    """One image, scored.

    Attributes:
        name: of the file.
        score: higher is more anomalous.
        alarm: whether it exceeds the threshold.
        map: how anomalous each pixel is at the image's own size, shape (height, width), float32.
    """

    name: str
    score: float
    alarm: bool
    map: np.ndarray


class _Waiting(NamedTuple):
    """An image to be scored, and what its map needs to lie on it as it came."""

    name: str
    image: np.ndarray
    placement: Placement | None
    shape: tuple[int, int]


class ImageDetector(Detector):
    """A calibrated detector of images."""

    description: ImageDescription

    def __init__(
        self,
        description: ImageDescription,
        scorer: MapScorer,
        session: NetworkSession,
        reference: Mapping[str, np.ndarray],
        registration: Registration | None = None,
    ) -> None:
        super().__init__(description, session, reference)
        self.scorer = scorer
        self.registration = registration

    @classmethod
    def assembled(
        cls, description: ImageDescription, session: NetworkSession, arrays: Mapping[str, np.ndarray]
    ) -> "ImageDetector":
        """The detector of what its folder holds."""
        scorer = MapScorer.from_arrays(
            under("scorer.", arrays),
            form=description.form,
            placements=description.placements,
            smoothing=description.smoothing,
            top=description.top,
        )
        registered = under("registration.", arrays)
        registration = Registration.from_arrays(registered) if registered else None
        return cls(description, scorer, session, under("reference.", arrays), registration)

    def fitted_arrays(self) -> dict[str, np.ndarray]:
        """The score's statistics, and how objects are brought to one turn where they are."""
        registered = self.registration.to_arrays() if self.registration else {}
        return {**named("scorer.", self.scorer.to_arrays()), **named("registration.", registered)}

    def ready(self, image: np.ndarray) -> tuple[np.ndarray, Placement | None]:
        """An image, uint8 (height, width, 3), as the network sees it, (size, size, 3), and how its object lay."""
        small = resized(image, self.description.size)
        if self.registration is None:
            return small, None
        placement = self.registration.placement(small)
        return straightened(small, placement), placement

    def judge(self, batch: ImageObservation) -> tuple[np.ndarray, np.ndarray]:
        """How anomalous each pixel is, (n, size, size), float32, and the scores, (n,), of a batch."""
        scorer, scaled = self.scorer.of_form, self._scaled(batch)
        return scorer.map(scaled), scorer.combine(scorer.parts(scaled))

    def score_observation(self, batch: ImageObservation) -> np.ndarray:
        """Scores of one batch, shape (n,)."""
        scorer = self.scorer.of_form
        return scorer.combine(scorer.parts(self._scaled(batch)))

    def _scaled(self, batch: ImageObservation) -> np.ndarray:
        scorer = self.scorer.of_form
        return scorer.scaled(evidence(batch, scorer.smoothing, scorer.names))

    def observed(self, pixels: Pixels, index: np.ndarray) -> Iterator[tuple[ImageObservation, np.ndarray, np.ndarray]]:
        """Observation, maps and scores of the images ``pixels[index]``, batch by batch."""
        for batch in self.session.image_batches(pixels, index):
            yield batch, *self.judge(batch)

    def score_images(self, pixels: Pixels, index: np.ndarray | None = None) -> Scores:
        """Scores of uint8 images (n, size, size, 3) as `ready` gives them."""
        return self.scores(self.judged(pixels, index).score)

    def judged(self, pixels: Pixels, index: np.ndarray | None = None) -> Judged:
        """Scores and latents of uint8 images (n, size, size, 3) as `ready` gives them."""
        chosen = np.arange(len(pixels)) if index is None else index
        batches = self.session.image_batches(pixels, chosen)
        return Judged.joined([Judged(self.score_observation(batch), batch.latent) for batch in batches])

    def score_arrays(self, images: np.ndarray) -> Scores:
        """Scores of uint8 images (n, height, width, 3) of any size.

        Raises:
            DetectorError: they have another shape or type.
        """
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
            msg = f"images are {images.dtype} {images.shape}; {self.description.name} reads uint8 (n, height, width, 3)"
            raise DetectorError(msg)
        batches = (images[first : first + IMAGE_BATCH] for first in range(0, len(images), IMAGE_BATCH))
        scores = [self.score_images(np.stack([self.ready(image)[0] for image in batch])).score for batch in batches]
        return self.scores(np.concatenate(scores) if scores else np.zeros(0))

    def score_pictures(self, pictures: Iterable[Picture], progress: Progress | None = None) -> Iterator[ScoredImage]:
        """Scores and full-size maps of image files, one batch in memory at a time.

        Raises:
            DataError: a file is no image that can be used; the message names it.
        """
        waiting: list[_Waiting] = []
        for picture in pictures:
            name, source = (str(picture), picture) if isinstance(picture, Path) else picture
            decoded = decode_picture(source, name, self.description.imaging.max_pixels)
            waiting.append(_Waiting(name, *self.ready(decoded), (decoded.shape[0], decoded.shape[1])))
            if len(waiting) == IMAGE_BATCH:
                yield from self._scored(waiting, progress)
                waiting = []
        if waiting:
            yield from self._scored(waiting, progress)

    def explain_pictures(self, pictures: Iterable[Picture]) -> Iterator[ExplainedImage]:
        """Why each of some image files has its score, with its map; one image in memory at a time.

        Raises:
            DataError: a file is no image that can be used; the message names it.
        """
        for picture in pictures:
            name, source = (str(picture), picture) if isinstance(picture, Path) else picture
            yield self.explain_array(decode_picture(source, name, self.description.imaging.max_pixels), name)

    def explain_array(self, image: np.ndarray, name: str) -> ExplainedImage:
        """Why one image, uint8 (height, width, 3), has its score, with its map."""
        ready, placement = self.ready(image)
        return explain_image(self, ready, placement, (image.shape[0], image.shape[1]), Named(Path(name).name, name))

    def _scored(self, waiting: list["_Waiting"], progress: Progress | None) -> Iterator[ScoredImage]:
        maps, scores = self.judge(self.session.observe_images(np.stack([each.image for each in waiting])))
        alarms = self.decide(scores)
        for each, score_map, score, alarm in zip(waiting, maps, scores, alarms, strict=True):
            whole = full_size(restored(score_map, each.placement), each.shape)
            yield ScoredImage(each.name, float(score), bool(alarm), whole)
        if progress:
            progress(len(waiting))
