"""Training of the VAE of pairs: either modality may be missing, and only what was given has to be given back."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from vae_pipeline.models.course import averaged_weights, warmed_cosine
from vae_pipeline.models.losses import image_error, kl_per_dimension, reconstruction_error, segmentation_loss
from vae_pipeline.models.module import Terms, VaeModule
from vae_pipeline.models.multimodal.examples import PairedExamples
from vae_pipeline.models.multimodal.network import Decoded, MultimodalVAE
from vae_pipeline.records import FusionTraining, ImageTraining, Training

__all__ = ["FusionModule"]


class FusionModule(VaeModule):
    """Batches are `PairedExamples`.

    Each modality's error is divided by the number of its values, so that an image of many pixels does not drown a
    window; the divergence of a dimension counts as it did in the line it came from. Of a mixture the error is the
    mean over its components and the divergence that of the components, a bound on the mixture's own.
    """

    network: MultimodalVAE
    rates: Tensor

    def __init__(
        self, network: MultimodalVAE, training: FusionTraining, lines: tuple[Training, ImageTraining], steps: int
    ) -> None:
        """``lines``: how the two networks it began with were trained; ``steps``: of the whole training."""
        super().__init__(network, training)
        self.config = training
        self.lines = lines
        self.steps = steps
        shape = network.shape
        self.values = (shape.windows.channels * shape.windows.length, 3 * shape.images.size**2)
        rates = torch.full((shape.latent,), lines[1].beta / self.values[1])
        rates[: network.split] = lines[0].beta / self.values[0]
        self.register_buffer("rates", rates, persistent=False)

    def training_terms(self, batch: PairedExamples) -> Terms:
        """Terms of a batch."""
        return self._terms(batch)

    def validation_terms(self, batch: PairedExamples) -> Terms:
        """The same."""
        return self._terms(batch)

    def _terms(self, batch: PairedExamples) -> Terms:
        network, images = self.network, batch.images
        components = network.encode(batch.windows, images.inputs, batch.present)
        error = divergence = torch.zeros(1, device=batch.present.device)
        for posterior, weight in components:
            found = network.decode(posterior.sample() if self.training else posterior.mean)
            error = error + weight * self._error(batch, found)
            divergence = divergence + weight.unsqueeze(1) * kl_per_dimension(*posterior)
        latent = network.latent(components)
        more = {}
        if network.images.head is not None:
            with torch.no_grad():  # the head learns to read the reconstruction and does not shape it
                found = network.reconstruct(batch.windows, images.inputs, components)
            log_odds = network.images.segment(images.inputs, found.images)
            if log_odds is not None:
                more["segmentation"] = batch.present[:, 1] * segmentation_loss(log_odds, images.masks)
        return Terms(error, divergence * self.rates, latent, more)

    def _error(self, batch: PairedExamples, found: Decoded) -> Tensor:
        windows, images = self.lines
        of_window = reconstruction_error(batch.window_targets, found.windows, windows.error)
        of_image = image_error(
            batch.images.targets, found.images, pixel_noise=images.pixel_noise, structure=images.structure
        )
        seen, shown = batch.present[:, 0], batch.present[:, 1]
        return seen * of_window / self.values[0] + shown * of_image / self.values[1]

    def configure_callbacks(self) -> list[pl.Callback]:
        """The moving average of the weights."""
        return averaged_weights(self.config.averaging)

    def configure_optimizers(self) -> Any:
        """AdamW with a short warm-up and a cosine."""
        return warmed_cosine(self.parameters(), self.config, self.steps)
