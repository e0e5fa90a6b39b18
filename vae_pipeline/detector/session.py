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

__all__ = ["BATCH", "IMAGE_BATCH", "Decoder", "NetworkSession"]

BATCH = 256
"""Windows a call; see docs/benchmarks.md for the measurement behind it."""

IMAGE_BATCH = 16
"""Images a call: more take more memory and no less time."""


class _Session:
    """Runs one ONNX file; the session starts at the first call."""

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


class Decoder(_Session):
    """Runs ``decoder.onnx``: what the network makes of other latents."""

    def decode(self, latent: np.ndarray) -> np.ndarray:
        """Reconstructions of latents, float32 (n, latent)."""
        (reconstruction,) = self._session.run(["reconstruction"], {"latent": latent})
        return reconstruction

    def decode_images(self, latent: np.ndarray, images: np.ndarray) -> ImageObservation:
        """Observations of images, uint8 (n, size, size, 3), as if these were their latents, float32 (n, latent)."""
        if len(self._session.get_inputs()) == 1:
            return ImageObservation(images, self.decode(latent), latent, None)
        given = {"latent": latent, "images": np.ascontiguousarray(images)}
        reconstruction, segmentation = self._session.run(["reconstruction", "segmentation"], given)
        return ImageObservation(images, reconstruction, latent, segmentation)


class NetworkSession(_Session):
    """Runs ``model.onnx``, and ``decoder.onnx`` beside it where there is one."""

    @cached_property
    def decoder(self) -> Decoder | None:
        """The decoder; None beside networks that were exported before there was one."""
        path = self.path.with_name("decoder.onnx")
        return Decoder(path) if path.exists() else None

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
