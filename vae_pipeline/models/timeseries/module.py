"""Training of the time-series VAE: losses, schedule, logged metrics."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from vae_pipeline.models.augmentation import WindowAugmentation
from vae_pipeline.models.losses import kl_per_dimension, reconstruction_error
from vae_pipeline.models.timeseries.network import TimeSeriesVAE
from vae_pipeline.records import Training

__all__ = ["ACTIVE_UNIT_VARIANCE", "TimeSeriesModule"]

ACTIVE_UNIT_VARIANCE = 0.01
"""A latent is active when the variance of its posterior mean over the data exceeds this (Burda et al., 2016)."""


class TimeSeriesModule(pl.LightningModule):
    """The negative evidence lower bound with beta warm-up, AdamW and a learning rate that falls on plateaus.

    ``epoch_metrics`` holds the last epoch's figures: train_loss, validation_loss, validation_reconstruction,
    validation_kl, kl_dimension_00 …, active_units, beta, learning_rate.
    """

    def __init__(self, network: TimeSeriesVAE, training: Training) -> None:
        super().__init__()
        self.network = network
        self.config = training
        self.augment = WindowAugmentation(training.noise, training.magnitude, training.time_warp)
        self.epoch_metrics: dict[str, float] = {}
        self._train_losses: list[Tensor] = []
        self._validation: list[tuple[Tensor, Tensor, Tensor]] = []

    @property
    def beta(self) -> float:
        """The weight of the divergence in this epoch: rises linearly over the warm-up."""
        warmup = self.config.warmup_share * self.config.epochs
        return self.config.beta * min(1.0, (self.current_epoch + 1) / max(warmup, 1.0))

    def training_step(self, batch: Tensor, _index: int) -> Tensor:
        """The loss of a batch of windows (n, channels, time); a denoising target where augmentation adds noise."""
        reconstruction, posterior = self.network(self.augment(batch))
        error = reconstruction_error(batch, reconstruction, self.config.error)
        loss = (error + self.beta * kl_per_dimension(*posterior).sum(1)).mean()
        self._train_losses.append(loss.detach())
        return loss

    def validation_step(self, batch: Tensor, _index: int) -> None:
        """Keep a batch's terms; they are put together at the end of the epoch."""
        reconstruction, posterior = self.network(batch)
        error = reconstruction_error(batch, reconstruction, self.config.error)
        self._validation.append((error, kl_per_dimension(*posterior), posterior.mean))

    def on_validation_epoch_end(self) -> None:
        """Put the epoch's figures together and log the one that stopping and checkpoints watch."""
        errors, divergences, means = (torch.cat(items) for items in zip(*self._validation, strict=True))
        self._validation.clear()
        per_dimension = divergences.mean(0)
        reconstruction, kl = errors.mean(), per_dimension.sum()
        # the full beta, so that epochs during and after the warm-up can be compared
        loss = reconstruction + self.config.beta * kl
        self.log("validation_loss", loss)
        train = torch.stack(self._train_losses).mean() if self._train_losses else loss
        self._train_losses.clear()
        active = (means.var(0, unbiased=False) > ACTIVE_UNIT_VARIANCE).sum()
        self.epoch_metrics = {
            "train_loss": float(train),
            "validation_loss": float(loss),
            "validation_reconstruction": float(reconstruction),
            "validation_kl": float(kl),
            "active_units": float(active),
            "beta": self.beta,
            "learning_rate": float(self.trainer.optimizers[0].param_groups[0]["lr"]),
            **{f"kl_dimension_{index:02d}": float(value) for index, value in enumerate(per_dimension)},
        }

    def configure_optimizers(self) -> Any:
        """AdamW; the rate is halved when the validation loss has not improved for a third of the patience."""
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=self.config.learning_rate, weight_decay=self.config.weight_decay
        )
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, factor=0.5, patience=max(1, self.config.patience // 3)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "validation_loss"}}
