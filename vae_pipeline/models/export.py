"""Networks as ONNX: what services, evaluation and batch scoring run."""

import contextlib
import io
import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from vae_pipeline.models.timeseries.network import TimeSeriesVAE

__all__ = ["export_onnx"]


class _Deterministic(nn.Module):
    """Windows to reconstruction and posterior mean, with z = mean."""

    def __init__(self, network: TimeSeriesVAE) -> None:
        super().__init__()
        self.network = network

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        posterior = self.network.encode(windows)
        return self.network.decode(posterior.mean), posterior.mean


def export_onnx(network: TimeSeriesVAE, path: Path) -> None:
    """Write one self-contained file: input ``windows`` (n, channels, time), outputs ``reconstruction`` and ``latent``.

    The batch dimension is dynamic.
    """
    example = torch.zeros(3, network.shape.channels, network.shape.length)
    exporter_logger = logging.getLogger("torch.onnx")
    level = exporter_logger.level
    exporter_logger.setLevel(logging.ERROR)
    try:
        # the exporter reports its progress on standard output
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                _Deterministic(network.eval()),
                (example,),
                input_names=["windows"],
                output_names=["reconstruction", "latent"],
                dynamic_shapes=({0: torch.export.Dim("n", min=1)},),
                dynamo=True,
                verbose=False,
            )
    finally:
        exporter_logger.setLevel(level)
    if program is None:
        msg = "the exporter returned no program"
        raise RuntimeError(msg)
    program.save(str(path), external_data=False)
