"""Networks as ONNX: what services, evaluation and batch scoring run."""

import contextlib
import io
import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from vae_pipeline.models.multimodal.network import MultimodalVAE
from vae_pipeline.models.timeseries.network import TimeSeriesVAE
from vae_pipeline.models.vision.network import VisionVAE

__all__ = ["export_onnx"]


class _Deterministic(nn.Module):
    def __init__(self, network: TimeSeriesVAE | VisionVAE | MultimodalVAE) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return self.network.observe(*inputs)


def export_onnx(network: TimeSeriesVAE | VisionVAE | MultimodalVAE, path: Path) -> None:
    """Write what the network observes, with z = mean, as one self-contained file.

    Input ``windows`` (n, channels, time) or ``images`` (n, size, size, 3); outputs ``reconstruction``, ``latent`` and,
    of images with a head, ``segmentation``; of pairs those of `MultimodalVAE.observe`. The batch dimension is dynamic.
    """
    inputs = network.example() if isinstance(network, MultimodalVAE) else (network.example(),)
    names = network.INPUT if isinstance(network, MultimodalVAE) else (network.INPUT,)
    counts = ("windows", "images", "pairs", "pairs", "shown") if isinstance(network, MultimodalVAE) else ("n",)
    dimensions = {count: torch.export.Dim(count, min=1) for count in counts}
    shapes = tuple({0: dimensions[count]} for count in counts)
    exporter_logger = logging.getLogger("torch.onnx")
    level = exporter_logger.level
    exporter_logger.setLevel(logging.ERROR)
    try:
        # the exporter reports its progress on standard output
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                _Deterministic(network.eval()),
                inputs,
                input_names=list(names),
                output_names=list(network.OUTPUTS),
                dynamic_shapes=(shapes,),
                dynamo=True,
                verbose=False,
            )
    finally:
        exporter_logger.setLevel(level)
    if program is None:
        msg = "the exporter returned no program"
        raise RuntimeError(msg)
    program.save(str(path), external_data=False)
