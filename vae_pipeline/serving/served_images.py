"""Pictures."""

from collections.abc import Sequence

import numpy as np

from vae_pipeline.detector.detector import Judged
from vae_pipeline.detector.images import ImageDetector
from vae_pipeline.explanation.explanation import Explanation
from vae_pipeline.features.inputs import colour_means
from vae_pipeline.features.pictures import decode_picture
from vae_pipeline.serving.asked import Asked
from vae_pipeline.serving.batching import Chunk
from vae_pipeline.serving.bodies import array
from vae_pipeline.serving.body import IMAGES, MULTIPART, NPY, Body
from vae_pipeline.serving.refused import Refused
from vae_pipeline.serving.served import Samples, Served

__all__ = ["ServedImages", "decoded"]


class ServedImages(Served[np.ndarray]):
    """A model of images; a chunk is one image as the network sees it, uint8 (1, size, size, 3)."""

    READS = (*IMAGES, NPY, MULTIPART)
    detector: ImageDetector

    def samples(self, body: Body, asked: Asked) -> Samples[np.ndarray]:
        """The images of a body."""
        self.require_type(body)
        names, chunks, inputs = [], [], []
        for name, image in self._pictures(body):
            ready, _ = self.detector.ready(image)
            names.append({"name": name})
            chunks.append(Chunk(ready[None], 1))
            inputs.append(colour_means(ready))
        return Samples(chunks, names, np.stack(inputs))

    def judged(self, payloads: Sequence[np.ndarray]) -> list[Judged]:
        """Scores and latents of ready images."""
        found = self.detector.judged(np.concatenate(payloads))
        return found.split([1] * len(payloads))

    def explained(self, body: Body, asked: Asked) -> list[Explanation]:
        """Why images have their scores: the regions that stand out."""
        self.require_type(body)
        return [
            self.detector.explain_array(image, name).explanation for name, image in self._pictures(body)[: asked.top]
        ]

    def _pictures(self, body: Body) -> list[tuple[str, np.ndarray]]:
        """Names and pictures, uint8 (height, width, 3)."""
        if body.content_type == NPY:
            images = array(body.content, field="images", most=self.settings.max_body)
            if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or min(images.shape[1:3]) < 1:
                msg = f"images: are {images.dtype} {images.shape}; send uint8 (n, height, width, 3)"
                raise Refused(422, msg, "images")
            self.require_few(len(images), "images")
            return [(f"image {number}", image) for number, image in enumerate(images, start=1)]
        files = body.named("image")
        self.require_few(len(files), "files")
        return [(name, decoded(self.detector, name, content, self.settings.max_pixels)) for name, content in files]


def decoded(detector: ImageDetector, name: str, content: bytes, most: int) -> np.ndarray:
    """A picture, uint8 (height, width, 3), of at most ``most`` pixels."""
    return decode_picture(content, name, min(most, detector.description.imaging.max_pixels))
