"""Pictures."""

from collections.abc import Iterator, Sequence

import numpy as np

from vae_pipeline.detector.detector import Judged
from vae_pipeline.detector.images import ImageDetector
from vae_pipeline.explanation.explanation import Explanation
from vae_pipeline.features.inputs import colour_means
from vae_pipeline.features.pictures import MIN_SIDE, decode_picture, read_header
from vae_pipeline.serving.asked import Asked
from vae_pipeline.serving.batching import Chunk
from vae_pipeline.serving.bodies import array
from vae_pipeline.serving.body import IMAGES, MULTIPART, NPY, Body
from vae_pipeline.serving.refused import Refused
from vae_pipeline.serving.served import Samples, Served
from vae_pipeline.serving.settings import ServiceSettings

__all__ = ["ServedImages", "decoded", "require_pixels", "said_pixels"]

_TOGETHER = 4
"""Times as many pixels as one picture may have, for all of a request."""


class ServedImages(Served[np.ndarray]):
    """A model of images; a chunk is one image as the network sees it, uint8 (1, size, size, 3)."""

    READS = (*IMAGES, NPY, MULTIPART)
    detector: ImageDetector

    def samples(self, body: Body, asked: Asked) -> Samples[np.ndarray]:
        """The images of a body."""
        names, chunks, inputs = [], [], []
        for name, given in self._given(body):
            ready, _ = self.detector.ready(self._picture(name, given))
            names.append({"name": name})
            chunks.append(Chunk(ready[None], 1))
            inputs.append(colour_means(ready))
        return Samples(chunks, names, np.stack(inputs))

    def judged(self, payloads: Sequence[np.ndarray]) -> list[Judged]:
        """Scores and latents of ready images."""
        found = self.detector.judged(np.concatenate(payloads))
        return found.split([1] * len(payloads))

    def explained(self, body: Body, asked: Asked) -> Iterator[Explanation]:
        """Why images have their scores: the regions that stand out."""
        for name, given in self._given(body, asked.top):
            yield self.detector.explain_array(self._picture(name, given), name).explanation

    def _given(self, body: Body, top: int | None = None) -> list[tuple[str, bytes | np.ndarray]]:
        """Names of the first ``top`` pictures, or of all, each with its file or uint8 (height, width, 3)."""
        self.require_type(body)
        if body.content_type == NPY:
            images = array(body.content, field="images", most=self.settings.max_body)
            shape = images.shape
            if images.dtype != np.uint8 or images.ndim != 4 or shape[3] != 3 or min(shape[1:3]) < MIN_SIDE:
                wanted = f"uint8 (n, height, width, 3) with sides of {MIN_SIDE} pixels at least"
                msg = f"images: are {images.dtype} {shape}; send {wanted}"
                raise Refused(422, msg, "images")
            self.require_few(len(images), "images")
            require_pixels(self.detector, [shape[1] * shape[2]] * len(images[:top]), "images", self.settings)
            return [(f"image {number}", image) for number, image in enumerate(images[:top], start=1)]
        files = body.named("image")
        self.require_few(len(files), "files")
        require_pixels(self.detector, said_pixels(self.detector, files[:top], self.settings), "files", self.settings)
        return list(files[:top])

    def _picture(self, name: str, given: bytes | np.ndarray) -> np.ndarray:
        return given if isinstance(given, np.ndarray) else decoded(self.detector, name, given, self.settings)


def decoded(detector: ImageDetector, name: str, content: bytes, settings: ServiceSettings) -> np.ndarray:
    """A picture, uint8 (height, width, 3)."""
    return decode_picture(content, name, _most(detector, settings))


def said_pixels(detector: ImageDetector, files: Sequence[tuple[str, bytes]], settings: ServiceSettings) -> list[int]:
    """How many pixels each of some files says it has.

    Raises:
        DataError: one is no image of a known format, or has more than a picture may; the message names it.
    """
    headers = [read_header(content, name, _most(detector, settings)) for name, content in files]
    return [header.width * header.height for header in headers]


def require_pixels(detector: ImageDetector, pixels: Sequence[int], what: str, settings: ServiceSettings) -> None:
    """Refuse pictures that together are more pixels than a request may have, as they came or as the network sees them.

    Pictures are decoded and dropped one by one; so this bounds the time that a request takes, and what it leaves.

    Raises:
        Refused: they are.
    """
    least = detector.description.size**2
    count, most = sum(max(each, least) for each in pixels), _TOGETHER * max(settings.max_pixels, least)
    if count > most:
        msg = f"{what}: {count:,} pixels together are more than the {most:,} allowed; send fewer at once"
        raise Refused(413, msg, what)


def _most(detector: ImageDetector, settings: ServiceSettings) -> int:
    return min(settings.max_pixels, detector.description.imaging.max_pixels)
