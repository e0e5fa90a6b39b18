"""What the training of every VAE shares: beta's warm-up, the figures of an epoch, the optimiser."""

from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from vae_pipeline.records import Optimisation

__all__ = ["ACTIVE_UNIT_VARIANCE", "Terms", "VaeModule"]

ACTIVE_UNIT_VARIANCE = 0.01
"""A latent is active when the variance of its posterior mean over the data exceeds this (Burda et al., 2016)."""


class Terms(NamedTuple):
    """A batch's terms of the loss, per sample.

    Attributes:
        error: reconstruction error, shape (n,).
        divergence: KL divergence per latent dimension, shape (n, latent).
        mean: posterior means, shape (n, latent).
        more: further terms that are added to the loss, each of shape (n,).
    """

    error: Tensor
    divergence: Tensor
    mean: Tensor
    more: dict[str, Tensor]


class VaeModule(pl.LightningModule):
    """The negative evidence lower bound with beta warm-up, AdamW and a learning rate that falls on plateaus.

    A line's module says what the terms of a batch are. ``epoch_metrics`` holds the last epoch's figures: train_loss,
    validation_loss, validation_reconstruction, validation_kl, validation_<further term>, kl_dimension_00 …,
    active_units, beta, learning_rate.
    """

    def __init__(self, network: nn.Module, config: Optimisation) -> None:
        super().__init__()
        self.network = network
        self.optimisation = config
        self.epoch_metrics: dict[str, float] = {}
        self._train_losses: list[Tensor] = []
        self._validation: list[Terms] = []

    def training_terms(self, batch: Any) -> Terms:
        """Terms of a training batch."""
        raise NotImplementedError

    def validation_terms(self, batch: Any) -> Terms:
        """Terms of a batch that steers training; the same batch always gives the same."""
        raise NotImplementedError

    def scale(self, terms: Terms) -> float:
        """What error and divergence are divided by; 1 leaves the sum over a sample's elements."""
        del terms
        return 1.0

    @property
    def beta(self) -> float:
        """The weight of the divergence in this epoch: rises linearly over the warm-up."""
        warmup = self.optimisation.warmup_share * self.optimisation.epochs
        return self.optimisation.beta * min(1.0, (self.current_epoch + 1) / max(warmup, 1.0))

    def training_step(self, batch: Any, _index: int) -> Tensor:
        """The loss of a batch."""
        loss = self._loss(self.training_terms(batch), self.beta)
        self._train_losses.append(loss.detach())
        return loss

    def validation_step(self, batch: Any, _index: int) -> None:
        """Keep a batch's terms; they are put together at the end of the epoch."""
        self._validation.append(self.validation_terms(batch))

    def on_validation_epoch_end(self) -> None:
        """Put the epoch's figures together and log the one that stopping and checkpoints watch."""
        names = self._validation[0].more
        terms = Terms(
            torch.cat([item.error for item in self._validation]),
            torch.cat([item.divergence for item in self._validation]),
            torch.cat([item.mean for item in self._validation]),
            {name: torch.cat([item.more[name] for item in self._validation]) for name in names},
        )
        self._validation.clear()
        per_dimension = terms.divergence.mean(0)
        # the full beta, so that epochs during and after the warm-up can be compared
        loss = self._loss(terms, self.optimisation.beta)
        self.log("validation_loss", loss, sync_dist=True)
        train = torch.stack(self._train_losses).mean() if self._train_losses else loss
        self._train_losses.clear()
        active = (terms.mean.var(0, unbiased=False) > ACTIVE_UNIT_VARIANCE).sum()
        self.epoch_metrics = {
            "train_loss": float(train),
            "validation_loss": float(loss),
            "validation_reconstruction": float(terms.error.mean()),
            "validation_kl": float(per_dimension.sum()),
            **{f"validation_{name}": float(values.mean()) for name, values in terms.more.items()},
            "active_units": float(active),
            "beta": self.beta,
            "learning_rate": float(self.trainer.optimizers[0].param_groups[0]["lr"]),
            **{f"kl_dimension_{index:02d}": float(value) for index, value in enumerate(per_dimension)},
        }

    def configure_optimizers(self) -> Any:
        """AdamW; the rate is halved when the validation loss has not improved for a third of the patience."""
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=self.optimisation.learning_rate, weight_decay=self.optimisation.weight_decay
        )
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, factor=0.5, patience=max(1, self.optimisation.patience // 3)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "validation_loss"}}

    def _loss(self, terms: Terms, beta: float) -> Tensor:
        loss = (terms.error + beta * terms.divergence.sum(1)) / self.scale(terms)
        for values in terms.more.values():
            loss = loss + values
        return loss.mean()
