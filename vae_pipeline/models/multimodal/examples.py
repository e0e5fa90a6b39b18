"""Training examples: a window, an image with a synthetic anomaly perhaps, and which of the two the network is given."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vae_pipeline.features.pair_set import Paired
from vae_pipeline.models.augmentation import WindowAugmentation
from vae_pipeline.models.vision.examples import Examples, ImageExamples
from vae_pipeline.records import FusionTraining, ImageTraining, Training

__all__ = ["PairExamples", "PairedExamples"]


class PairedExamples(NamedTuple):
    """A batch.

    Attributes:
        windows: as the network is given them, (n, channels, time), float32.
        window_targets: what it should give, same shape.
        images: inputs, targets and masks.
        present: 1 where window and image are given, else 0, (n, 2), float32; at least one is.
    """

    windows: Tensor
    window_targets: Tensor
    images: Examples
    present: Tensor


class PairExamples(Dataset[PairedExamples]):
    """Examples made anew whenever they are asked for; ``fixed`` ones are always the same and steer."""

    def __init__(
        self,
        paired: Paired,
        training: FusionTraining,
        lines: tuple[Training, ImageTraining],
        *,
        fixed: bool = False,
    ) -> None:
        """Examples of pairs of the fit part.

        Args:
            paired: windows and images.
            training: share of pairs with a missing modality, and seed.
            lines: how the two lines' own networks were trained, for augmentation and synthetic anomalies.
            fixed: see the class.
        """
        windows, images = lines
        self.paired = paired
        self.training = training
        self.fixed = fixed
        self.augment = WindowAugmentation(windows.noise, windows.magnitude, windows.time_warp)
        self.pictures = ImageExamples(paired.pixels, paired.images, images, fixed=fixed)

    def __len__(self) -> int:
        return len(self.paired.images)

    def __getitems__(self, asked: list[int]) -> PairedExamples:
        targets = torch.from_numpy(self.paired.windows.take(np.asarray(asked)))
        if self.fixed:
            lots = torch.tensor([place % 4 / 4 for place in asked])
            left_out, windows = torch.tensor([place % 8 < 4 for place in asked]), targets
        else:
            lots, left_out = torch.rand(len(asked)), torch.rand(len(asked)) < 0.5
            windows = self.augment(targets)
        one_missing = lots < self.training.missing
        present = torch.stack([~(one_missing & left_out), ~(one_missing & ~left_out)], 1).float()
        return PairedExamples(windows, targets, self.pictures.__getitems__(asked), present)
