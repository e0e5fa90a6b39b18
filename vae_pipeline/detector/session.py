"""The exported network in ONNX Runtime."""

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vae_pipeline.calibration.maps import ImageObservation
from vae_pipeline.calibration.scorers import Observation
from vae_pipeline.errors import DetectorError
from vae_pipeline.features.stored_images import Pixels
from vae_pipeline.features.windows import Windows

__all__ = ["BATCH", "IMAGE_BATCH", "NetworkSession"]

BATCH = 256
"""Windows a call; see docs/benchmarks.md for the measurement behind it."""

IMAGE_BATCH = 16
"""Images a call: more take more memory and no less time."""


class NetworkSession:
    """Runs ``model.onnx``; the session starts at the first call."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("VAE_PIPELINE_THREADS") or os.cpu_count() or 1)
        options.log_severity_level = 3
        try:
            return onnxruntime.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions share no public base class
            msg = f"{self.path}: no ONNX model that can be loaded: {error}"
            raise DetectorError(msg) from error

    @cached_property
    def has_head(self) -> bool:
        """Whether the network segments images."""
        return any(output.name == "segmentation" for output in self._session.get_outputs())

    def observe(self, windows: np.ndarray) -> Observation:
        """Reconstruction and latents of scaled windows, shape (n, channels, time), float32."""
        reconstruction, latent = self._session.run(["reconstruction", "latent"], {"windows": windows})
        return Observation(windows, reconstruction, latent)

    def batches(self, windows: Windows) -> Iterator[Observation]:
        """Observations of all windows in order, ``BATCH`` at a time."""
        for batch in windows.batches(BATCH):
            yield self.observe(batch)

    def observe_images(self, images: np.ndarray) -> ImageObservation:
        """Reconstruction, latents and segmentation of images, uint8 (n, size, size, 3)."""
        names = ["reconstruction", "latent", *(["segmentation"] if self.has_head else [])]
        reconstruction, latent, *found = self._session.run(names, {"images": np.ascontiguousarray(images)})
        return ImageObservation(images, reconstruction, latent, found[0] if found else None)

    def image_batches(self, pixels: Pixels, index: np.ndarray) -> Iterator[ImageObservation]:
        """Observations of the images ``pixels[index]`` in order, ``IMAGE_BATCH`` at a time."""
        for first in range(0, len(index), IMAGE_BATCH):
            yield self.observe_images(pixels[index[first : first + IMAGE_BATCH]])
