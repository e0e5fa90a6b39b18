"""Training of the vision VAE: a denoiser of synthetic anomalies, with a head that finds them."""

from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from vae_pipeline.models.course import averaged_weights, warmed_cosine
from vae_pipeline.models.losses import image_error, kl_per_dimension, segmentation_loss
from vae_pipeline.models.module import Terms, VaeModule
from vae_pipeline.models.vision.examples import Examples
from vae_pipeline.models.vision.network import VisionVAE
from vae_pipeline.records import ImageTraining

__all__ = ["Shown", "VisionModule"]

_SHOWN = 4


class Shown(NamedTuple):
    """A few steering images as the network sees them at the end of an epoch, uint8.

    Attributes:
        inputs: with synthetic anomalies, (n, size, size, 3).
        reconstructions: same shape.
        maps: the head's probability, float32 (n, size, size); None without a head.
    """

    inputs: np.ndarray
    reconstructions: np.ndarray
    maps: np.ndarray | None


class VisionModule(VaeModule):
    """Batches are `Examples`.

    Error and divergence of an image are summed and divided by the number of its values, so that they stand on one
    scale with the head's loss whatever the size of the images. The rate rises for 30 steps and falls along a cosine.
    """

    network: VisionVAE

    def __init__(self, network: VisionVAE, training: ImageTraining, steps: int) -> None:
        """``steps``: of the whole training, for the course of the learning rate."""
        super().__init__(network, training)
        self.to(memory_format=torch.channels_last)
        self.config = training
        self.steps = steps
        self.shown: Shown | None = None

    def scale(self, terms: Terms) -> float:
        """Values of an image."""
        del terms
        return 3.0 * self.network.shape.size**2

    def training_terms(self, batch: Examples) -> Terms:
        """Terms of anomalous images against the images as they were."""
        return self._terms(batch)[0]

    def validation_terms(self, batch: Examples) -> Terms:
        """The same; the first images are kept to be shown."""
        terms, reconstruction, found = self._terms(batch)
        if not self._validation:
            maps = None if found is None else found[:_SHOWN].sigmoid().cpu().numpy()
            self.shown = Shown(_bytes(batch.inputs[:_SHOWN]), _bytes(reconstruction[:_SHOWN]), maps)
        return terms

    def _terms(self, batch: Examples) -> tuple[Terms, Tensor, Tensor | None]:
        # one layout for all: the processor mixes two at several times the cost
        inputs, targets = (values.contiguous(memory_format=torch.channels_last) for values in batch[:2])
        reconstruction, posterior = self.network(inputs)
        error = image_error(
            targets, reconstruction, pixel_noise=self.config.pixel_noise, structure=self.config.structure
        )
        # the head learns to read the reconstruction and does not shape it
        found = self.network.segment(inputs, reconstruction.detach())
        more = {} if found is None else {"segmentation": segmentation_loss(found, batch.masks)}
        return Terms(error, kl_per_dimension(*posterior), posterior.mean, more), reconstruction, found

    def configure_callbacks(self) -> list[pl.Callback]:
        """The moving average of the weights."""
        return averaged_weights(self.config.averaging)

    def configure_optimizers(self) -> Any:
        """AdamW with a short warm-up and a cosine."""
        return warmed_cosine(self.parameters(), self.config, self.steps)


def _bytes(images: Tensor) -> np.ndarray:
    return (images.detach().permute(0, 2, 3, 1).clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
