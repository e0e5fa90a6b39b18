"""The exported network in ONNX Runtime."""

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vae_pipeline.calibration.scorers import Observation
from vae_pipeline.errors import DetectorError
from vae_pipeline.features.windows import Windows

__all__ = ["BATCH", "NetworkSession"]

BATCH = 256
"""Windows a call; see docs/benchmarks.md for the measurement behind it."""


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

    def observe(self, windows: np.ndarray) -> Observation:
        """Reconstruction and latents of scaled windows, shape (n, channels, time), float32."""
        reconstruction, latent = self._session.run(["reconstruction", "latent"], {"windows": windows})
        return Observation(windows, reconstruction, latent)

    def batches(self, windows: Windows) -> Iterator[Observation]:
        """Observations of all windows in order, ``BATCH`` at a time."""
        for batch in windows.batches(BATCH):
            yield self.observe(batch)
