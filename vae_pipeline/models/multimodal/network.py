"""The network alone: two encoders, their fusion, two decoders."""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from vae_pipeline.models.multimodal.attention import CrossModalAttention
from vae_pipeline.models.multimodal.fusion import (
    Component,
    ConcatenationFusion,
    MeanFusion,
    MixtureFusion,
    ProductFusion,
)
from vae_pipeline.models.posterior import Posterior
from vae_pipeline.models.timeseries.network import NetworkShape, TimeSeriesVAE
from vae_pipeline.models.vision.network import ImageShape, VisionVAE
from vae_pipeline.records import Fusion, FusionTraining, Record

__all__ = ["MODALITIES", "Decoded", "FusionShape", "MultimodalVAE"]

MODALITIES = ("windows", "images")


class FusionShape(Record):
    """All that is needed to build the network again; the lines' shapes are those of the networks it began with."""

    windows: NetworkShape
    images: ImageShape
    latent: int
    fusion: Fusion = "product"
    attention: bool = True

    @staticmethod
    def of(training: FusionTraining, windows: NetworkShape, images: ImageShape) -> "FusionShape":
        """The shape that training parameters and the two lines' networks ask for."""
        return FusionShape(
            windows=windows,
            images=images,
            latent=training.latent or windows.latent + images.latent,
            fusion=training.fusion,
            attention=training.attention,
        )


class Decoded(NamedTuple):
    """Both modalities as one component of the posterior gives them back.

    Attributes:
        windows: shape (n, channels, time).
        images: shape (n, 3, size, size), in [0, 1].
    """

    windows: Tensor
    images: Tensor


class MultimodalVAE(nn.Module):
    """A variational autoencoder of pairs of a window and an image, either of which may be missing.

    The networks of the two lines, their latents widened to one that both share: the window's encoder begins with its
    own dimensions first, the image's behind them, and each learns what it can say of the other's.
    """

    Shape: ClassVar[Any] = FusionShape
    INPUT: ClassVar = (*MODALITIES, "pairs", "present", "shown")
    COUNTS: ClassVar = (*MODALITIES, "pairs", "pairs", "shown")
    """What there are as many of as each input is long."""

    def __init__(self, shape: FusionShape) -> None:
        super().__init__()
        self.shape = shape
        self.windows = TimeSeriesVAE(shape.windows.model_copy(update={"latent": shape.latent}))
        self.images = VisionVAE(shape.images.model_copy(update={"latent": shape.latent}))
        sides = (self.windows.mean.in_features, self.images.mean.in_features)
        self.attention = None
        if shape.attention:
            self.attention = nn.ModuleList(CrossModalAttention(*both) for both in (sides, sides[::-1]))
        self.fusion: ProductFusion | MixtureFusion | MeanFusion | ConcatenationFusion = {
            "product": ProductFusion,
            "mixture": MixtureFusion,
            "mean": MeanFusion,
            "concatenation": lambda: ConcatenationFusion(shape.latent, len(MODALITIES)),
        }[shape.fusion]()

    @property
    def split(self) -> int:
        """The first dimension that was the image's when training began."""
        return min(self.shape.windows.latent, self.shape.latent - 1)

    def adopt(self, windows: TimeSeriesVAE, images: VisionVAE) -> None:
        """Begin with the weights of the two lines' networks, each in dimensions of its own."""
        _widened(self.windows, windows, 0, self.fusion.SILENT)
        _widened(self.images, images, self.split, self.fusion.SILENT)

    def encode(self, windows: Tensor, images: Tensor, present: Tensor) -> tuple[Component, ...]:
        """The components of the fused posterior.

        Args:
            windows: shape (n, channels, time).
            images: shape (n, 3, size, size), in [0, 1].
            present: 1 where window and image are there, else 0, shape (n, 2); what stands in the place of a missing
                one does not matter.
        """
        return self.fuse(self.windows.features(windows), self.images.features(images), present)

    def fuse(self, seen: Tensor, shown: Tensor, present: Tensor) -> tuple[Component, ...]:
        """The components of the posterior that features of windows and of images tell, each of shape (n, features)."""
        if self.attention is not None:
            asked = self.attention[0](seen, shown, present[:, 1:])
            shown, seen = self.attention[1](shown, seen, present[:, :1]), asked
        return self.fusion((self.windows.posterior(seen), self.images.posterior(shown)), present)

    def decode(self, latent: Tensor) -> Decoded:
        """Window and image of latent vectors, shape (n, latent)."""
        return Decoded(self.windows.decode(latent), self.images.decode(latent))

    def reconstruct(self, windows: Tensor, images: Tensor, components: tuple[Component, ...]) -> Decoded:
        """Each modality by that component of the posterior that gives it back best, the likeliest to be its own."""
        return Decoded(
            self._nearest(windows, components, self.windows.decode),
            self._nearest(images, components, self.images.decode),
        )

    @staticmethod
    def _nearest(target: Tensor, components: tuple[Component, ...], decode: Callable[[Tensor], Tensor]) -> Tensor:
        """Of what the components decode to the one nearest to its target, among those that are there."""
        found = [decode(component.posterior.mean) for component in components]
        if len(found) == 1:
            return found[0]
        every, there = torch.stack(found, 1), torch.stack([component.weight > 0 for component in components], 1)
        error = (every - target.unsqueeze(1)).square().flatten(2).mean(2)
        best = torch.where(there, error, torch.full_like(error, torch.inf)).argmin(1)
        chosen = torch.nn.functional.one_hot(best, len(found)).to(every.dtype)
        return (every * chosen.view(*chosen.shape, *(1,) * (every.dim() - 2))).sum(1)

    def latent(self, components: tuple[Component, ...]) -> Tensor:
        """One vector a pair, shape (n, latent): of a mixture each modality's own dimensions by its own expert."""
        if len(components) == 1:
            return components[0].posterior.mean
        own = [component.posterior.mean * (component.weight > 0).unsqueeze(1) for component in components]
        return torch.cat([own[0][:, : self.split], own[1][:, self.split :]], 1)

    @property
    def OUTPUTS(self) -> tuple[str, ...]:  # noqa: N802 - a constant of each network
        """Names of what `observe` gives."""
        found = ("reconstructed_windows", "reconstructed_images", "latent")
        return found if self.images.head is None else (*found, "segmentation")

    def example(self) -> tuple[Tensor, ...]:
        """Pairs of the right shape, to trace the network with."""
        windows, images = self.windows.example(), self.images.example()
        pairs = torch.tensor([[0, 0], [1, 0], [2, 1], [0, 2], [1, 1]])
        return windows, torch.cat([images, images[:1]]), pairs, torch.ones(len(pairs), len(MODALITIES)), torch.arange(4)

    def observe(
        self, windows: Tensor, images: Tensor, pairs: Tensor, present: Tensor, shown: Tensor
    ) -> tuple[Tensor, ...]:
        """What is exported, with z = mean: reconstructions, latents and log-odds of the image's pixels, of each pair.

        What several pairs share, or what stands in the place of a missing modality, is encoded once; an image, which
        takes most of the time, is decoded for those pairs only that ask for it.

        Args:
            windows: shape (n_windows, channels, time).
            images: uint8, shape (n_images, size, size, 3); reconstructed in [0, 1].
            pairs: places of window and image of each pair, int64, shape (n, 2).
            present: 1 where window and image are there, else 0, shape (n, 2).
            shown: which pairs' images are reconstructed, int64, shape (n_shown,), at least one.
        """
        scaled = images.permute(0, 3, 1, 2).float() / 255.0
        window, image = pairs[:, 0], pairs[:, 1]
        components = self.fuse(self.windows.features(windows)[window], self.images.features(scaled)[image], present)
        asked = tuple(Component(Posterior(*(part[shown] for part in own)), weight[shown]) for own, weight in components)
        given_back = self._nearest(windows[window], components, self.windows.decode)
        inputs = scaled[image][shown]
        reconstruction = self._nearest(inputs, asked, self.images.decode)
        segmentation = self.images.segment(inputs, reconstruction)
        seen = (given_back, reconstruction.permute(0, 2, 3, 1), self.latent(components))
        return seen if segmentation is None else (*seen, segmentation)


def _widened(network: nn.Module, trained: nn.Module, first: int, silent: float) -> None:
    """Copy the weights of a network of fewer latent dimensions, which become those from ``first`` on.

    The others begin with mean 0 and log-variance ``silent``, and the decoder does not heed them.
    """
    weights = trained.state_dict()
    with torch.no_grad():
        for name, own in network.state_dict().items():
            given = weights[name]
            if given.shape == own.shape:
                own.copy_(given)
                continue
            axis = next(axis for axis in range(own.dim()) if own.shape[axis] != given.shape[axis])
            count = min(given.shape[axis], own.shape[axis] - first)
            own.fill_(silent if name == "log_variance.bias" else 0.0)
            own.narrow(axis, first, count).copy_(given.narrow(axis, 0, count))
