"""The networks alone: the variational autoencoder of images and the head that compares input and reconstruction."""

from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vae_pipeline.models.posterior import Posterior
from vae_pipeline.records import ImageTraining, Record

__all__ = ["ImageShape", "SegmentationHead", "VisionVAE"]

_CHANNELS = 3
_HALVINGS = 5


class ImageShape(Record):
    """All that is needed to build the networks again."""

    size: int
    width: int = 16
    latent: int = 64
    head: bool = True

    @staticmethod
    def of(training: ImageTraining, size: int) -> "ImageShape":
        """The shape that training parameters and images of ``size`` pixels on a side ask for."""
        return ImageShape(size=size, width=training.width, latent=training.latent, head=training.head)


def _block(before: int, after: int, *, stride: int = 1) -> nn.Sequential:
    # GroupNorm, not BatchNorm: normal sets are small, and a score must not depend on its batch
    kernel = 4 if stride == 2 else 3
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride=stride, padding=1),
        nn.GroupNorm(min(8, after // 2), after),
        nn.SiLU(inplace=True),
    )


class VisionVAE(nn.Module):
    """A variational autoencoder of images (n, 3, size, size) in [0, 1], with an optional segmentation head.

    Five convolutions of stride 2 and their mirror. In training mode the decoder sees a draw from the posterior, in
    evaluation mode its mean, so that scoring is deterministic.
    """

    Shape: ClassVar[Any] = ImageShape
    INPUT: ClassVar = "images"

    def __init__(self, shape: ImageShape) -> None:
        super().__init__()
        self.shape = shape
        widths = [min(shape.width * 2**step, shape.width * 8) for step in range(_HALVINGS)]
        smallest = shape.size // 2**_HALVINGS
        self.encoder = nn.Sequential(
            *(_block(before, after, stride=2) for before, after in pairwise((_CHANNELS, *widths))), nn.Flatten()
        )
        flat = widths[-1] * smallest**2
        self.mean = nn.Linear(flat, shape.latent)
        self.log_variance = nn.Linear(flat, shape.latent)
        self.expand = nn.Sequential(nn.Linear(shape.latent, flat), nn.Unflatten(1, (widths[-1], smallest, smallest)))
        layers: list[nn.Module] = []
        for before, after in pairwise(reversed(widths)):
            layers += [nn.Upsample(scale_factor=2), _block(before, after)]
        # the last doubling puts four neighbours into the channels: a convolution at full size takes as long as all else
        layers += [nn.Conv2d(widths[0], 4 * _CHANNELS, 3, padding=1), nn.PixelShuffle(2), nn.Sigmoid()]
        self.decoder = nn.Sequential(*layers)
        self.head = SegmentationHead(shape.width) if shape.head else None

    def features(self, images: Tensor) -> Tensor:
        """What the posterior is read from, shape (n, features)."""
        return self.encoder(2.0 * images - 1.0)

    def posterior(self, features: Tensor) -> Posterior:
        """The posterior that features tell."""
        return Posterior(self.mean(features), self.log_variance(features).clamp(-10.0, 10.0))

    def encode(self, images: Tensor) -> Posterior:
        """The posterior of each image."""
        return self.posterior(self.features(images))

    def decode(self, latent: Tensor) -> Tensor:
        """Images of latent vectors, shape (n, 3, size, size), in [0, 1]."""
        return self.decoder(self.expand(latent))

    def forward(self, images: Tensor) -> tuple[Tensor, Posterior]:
        """Reconstruction and posterior."""
        posterior = self.encode(images)
        return self.decode(posterior.sample() if self.training else posterior.mean), posterior

    def segment(self, images: Tensor, reconstruction: Tensor) -> Tensor | None:
        """Log-odds of every pixel to be anomalous, shape (n, size, size); None without a head."""
        return None if self.head is None else self.head(torch.cat([images, reconstruction], 1)).squeeze(1)

    @property
    def OUTPUTS(self) -> tuple[str, ...]:  # noqa: N802 - a constant of each network
        """Names of what `observe` gives."""
        return ("reconstruction", "latent") if self.head is None else ("reconstruction", "latent", "segmentation")

    def example(self) -> Tensor:
        """Images of the right shape, to trace the network with."""
        return torch.zeros(3, self.shape.size, self.shape.size, _CHANNELS, dtype=torch.uint8)

    def observe(self, images: Tensor) -> tuple[Tensor, ...]:
        """What is exported: uint8 images (n, size, size, 3) to reconstruction, posterior mean, log-odds; z = mean.

        The reconstruction has the images' shape, in [0, 1].
        """
        latent = self.encode(_planes(images)).mean
        shown, *found = self.imagine(latent, images)
        return (shown, latent, *found)

    def imagine(self, latent: Tensor, images: Tensor | None = None) -> tuple[Tensor, ...]:
        """What is exported as the decoder: reconstruction and, with a head, log-odds of ``images`` against it."""
        reconstruction = self.decode(latent)
        shown = reconstruction.permute(0, 2, 3, 1)
        if self.head is None or images is None:
            return (shown,)
        return shown, self.head(torch.cat([_planes(images), reconstruction], 1)).squeeze(1)


def _planes(images: Tensor) -> Tensor:
    """Images uint8 (n, size, size, 3) as the network takes them: (n, 3, size, size) in [0, 1]."""
    return images.permute(0, 3, 1, 2).float() / 255.0


class SegmentationHead(nn.Module):
    """A small U-Net over input and reconstruction; (n, 6, size, size) to log-odds (n, 1, size, size).

    It works at half the resolution: at the full one most of its time would go where least is decided.

    O. Ronneberger et al., U-Net, MICCAI 2015; as a discriminator of [x, x̂]: V. Zavrtanik et al., DRAEM, ICCV 2021.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 4 * width]
        self.first = _block(2 * _CHANNELS, width, stride=2)
        self.down = nn.ModuleList(
            nn.Sequential(_block(before, after, stride=2), _block(after, after)) for before, after in pairwise(widths)
        )
        self.up = nn.ModuleList(_block(below + beside, beside) for beside, below in reversed(list(pairwise(widths))))
        self.last = nn.Conv2d(width, 1, 1)

    def forward(self, pair: Tensor) -> Tensor:
        """Log-odds, shape (n, 1, size, size)."""
        passed = [self.first(2.0 * pair - 1.0)]
        for down in self.down:
            passed.append(down(passed[-1]))
        found = passed.pop()
        for up in self.up:
            found = up(torch.cat([_enlarged(found), passed.pop()], 1))
        return _enlarged(self.last(found))


def _enlarged(maps: Tensor) -> Tensor:
    return nn.functional.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=False)
