"""The network alone: no trainer, no data, no files."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vae_pipeline.models.components import (
    ConvolutionDecoder,
    ConvolutionEncoder,
    DenseDecoder,
    DenseEncoder,
    RecurrentEncoder,
    TransformerEncoder,
)
from vae_pipeline.models.posterior import Posterior
from vae_pipeline.records import Record, Training

__all__ = ["NetworkShape", "TimeSeriesVAE"]

_ENCODERS = {
    "cnn": ConvolutionEncoder,
    "transformer": TransformerEncoder,
    "lstm": RecurrentEncoder,
    "mlp": DenseEncoder,
}


class NetworkShape(Record):
    """All that is needed to build the network again."""

    channels: int
    length: int
    encoder: str = "cnn"
    hidden: tuple[int, ...] = (64, 128, 256)
    latent: int = 16

    @staticmethod
    def of(training: Training, channels: int, length: int) -> "NetworkShape":
        """The shape that training parameters and data ask for."""
        return NetworkShape(
            channels=channels, length=length, encoder=training.encoder, hidden=training.hidden, latent=training.latent
        )


class TimeSeriesVAE(nn.Module):
    """A variational autoencoder of windows of shape (n, channels, time).

    In training mode the decoder sees a draw from the posterior, in evaluation mode its mean, so that scoring is
    deterministic.
    """

    Shape: ClassVar[Any] = NetworkShape
    INPUT: ClassVar = "windows"
    OUTPUTS: ClassVar = ("reconstruction", "latent")

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.shape = shape
        self.encoder = _ENCODERS[shape.encoder](shape.channels, shape.length, shape.hidden)
        self.mean = nn.Linear(self.encoder.features, shape.latent)
        self.log_variance = nn.Linear(self.encoder.features, shape.latent)
        decoder = DenseDecoder if shape.encoder == "mlp" else ConvolutionDecoder
        self.decoder = decoder(shape.channels, shape.length, shape.hidden, shape.latent)

    def features(self, windows: Tensor) -> Tensor:
        """What the posterior is read from, shape (n, features)."""
        return self.encoder(windows)

    def posterior(self, features: Tensor) -> Posterior:
        """The posterior that features tell."""
        return Posterior(self.mean(features), self.log_variance(features).clamp(-10.0, 10.0))

    def encode(self, windows: Tensor) -> Posterior:
        """The posterior of each window."""
        return self.posterior(self.features(windows))

    def decode(self, latent: Tensor) -> Tensor:
        """Windows of latent vectors, shape (n, channels, time)."""
        return self.decoder(latent)

    def forward(self, windows: Tensor) -> tuple[Tensor, Posterior]:
        """Reconstruction and posterior."""
        posterior = self.encode(windows)
        return self.decode(posterior.sample() if self.training else posterior.mean), posterior

    def example(self) -> Tensor:
        """Windows of the right shape, to trace the network with."""
        return torch.zeros(3, self.shape.channels, self.shape.length)

    def observe(self, windows: Tensor) -> tuple[Tensor, ...]:
        """What is exported: reconstruction and posterior mean, with z = mean."""
        posterior = self.encode(windows)
        return self.decode(posterior.mean), posterior.mean

    def imagine(self, latent: Tensor) -> tuple[Tensor, ...]:
        """What is exported as the decoder: windows of latent vectors."""
        return (self.decode(latent),)
