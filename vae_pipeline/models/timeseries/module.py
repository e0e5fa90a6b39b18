"""Training of the time-series VAE: its terms of the loss."""

from torch import Tensor

from vae_pipeline.models.augmentation import WindowAugmentation
from vae_pipeline.models.losses import kl_per_dimension, reconstruction_error
from vae_pipeline.models.module import Terms, VaeModule
from vae_pipeline.models.timeseries.network import TimeSeriesVAE
from vae_pipeline.records import Training

__all__ = ["TimeSeriesModule"]


class TimeSeriesModule(VaeModule):
    """Batches are windows (n, channels, time); a denoising target where augmentation adds noise."""

    def __init__(self, network: TimeSeriesVAE, training: Training) -> None:
        super().__init__(network, training)
        self.config = training
        self.augment = WindowAugmentation(training.noise, training.magnitude, training.time_warp)

    def training_terms(self, batch: Tensor) -> Terms:
        """Terms of augmented windows against the windows as they were."""
        return self._terms(self.augment(batch), batch)

    def validation_terms(self, batch: Tensor) -> Terms:
        """Terms of the windows as they are."""
        return self._terms(batch, batch)

    def _terms(self, inputs: Tensor, target: Tensor) -> Terms:
        reconstruction, posterior = self.network(inputs)
        error = reconstruction_error(target, reconstruction, self.config.error)
        return Terms(error, kl_per_dimension(*posterior), posterior.mean, {})
