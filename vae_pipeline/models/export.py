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

__all__ = ["export_decoder", "export_onnx"]


class _Observing(nn.Module):
    def __init__(self, network: TimeSeriesVAE | VisionVAE | MultimodalVAE) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return self.network.observe(*inputs)


class _Imagining(nn.Module):
    def __init__(self, network: TimeSeriesVAE | VisionVAE) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return self.network.imagine(*inputs)


def export_onnx(network: TimeSeriesVAE | VisionVAE | MultimodalVAE, path: Path) -> None:
    """Write what the network observes, with z = mean, as one self-contained file.

    Input ``windows`` (n, channels, time) or ``images`` (n, size, size, 3); outputs ``reconstruction``, ``latent`` and,
    of images with a head, ``segmentation``; of pairs those of `MultimodalVAE.observe`. The batch dimension is dynamic.
    """
    outputs = list(network.OUTPUTS)
    inputs: dict[str, Tensor]
    if isinstance(network, MultimodalVAE):
        inputs, counts = dict[str, Tensor](zip(network.INPUT, network.example(), strict=True)), network.COUNTS
    else:
        inputs, counts = {network.INPUT: network.example()}, ("n",)
    _export(_Observing(network.eval()), inputs, outputs, path, counts)


def export_decoder(network: TimeSeriesVAE | VisionVAE, path: Path) -> None:
    """Write what the network makes of latent vectors, one self-contained file: explanations move latents with it.

    Input ``latent`` (n, latent) and, where there is a head, the ``images`` it compares with; outputs as those of
    `export_onnx`, without ``latent``.
    """
    example = network.example()
    inputs = {"latent": torch.zeros(len(example), network.shape.latent)}
    if "segmentation" in network.OUTPUTS:
        inputs["images"] = example
    outputs = [name for name in network.OUTPUTS if name != "latent"]
    _export(_Imagining(network.eval()), inputs, outputs, path, ("n",) * len(inputs))


def _export(
    module: nn.Module, inputs: dict[str, Tensor], outputs: list[str], path: Path, counts: tuple[str, ...]
) -> None:
    """Export with the first dimension of each input free; inputs of the same name in ``counts`` have as many."""
    exporter_logger = logging.getLogger("torch.onnx")
    level = exporter_logger.level
    exporter_logger.setLevel(logging.ERROR)
    dimensions = {count: torch.export.Dim(count, min=1) for count in counts}
    shapes = tuple({0: dimensions[count]} for count in counts)
    try:
        # the exporter reports its progress on standard output
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module,
                tuple(inputs.values()),
                input_names=list(inputs),
                output_names=outputs,
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
