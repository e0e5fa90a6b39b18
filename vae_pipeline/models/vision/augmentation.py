"""Label-preserving changes of normal images, applied before a synthetic anomaly is put in."""

from typing import Any

import torch
from torch import Tensor

from vae_pipeline.records import ImageTraining

__all__ = ["ImageAugmentation"]

LITTLE = 2.0
"""Degrees that aligned objects are turned up to where nothing else is stated."""


class ImageAugmentation:
    """Mirroring, turning, moving, colour jitter and a little blur, each as the training parameters ask."""

    def __init__(self, training: ImageTraining) -> None:
        from kornia import augmentation

        operations: list[Any] = []
        if training.flip:
            operations += [augmentation.RandomHorizontalFlip(p=0.5), augmentation.RandomVerticalFlip(p=0.5)]
        rotation = LITTLE if training.rotation is None else training.rotation
        if rotation or training.shift:
            moved = (training.shift, training.shift)
            operations.append(augmentation.RandomAffine(rotation, translate=moved, padding_mode="border", p=1.0))
        if training.jitter:
            strength = training.jitter
            operations.append(augmentation.ColorJiggle(strength, strength, strength, 0.0, p=0.8))
        if training.blur:
            operations.append(augmentation.RandomGaussianBlur((3, 3), (0.3, 1.0), p=training.blur))
        self._change = augmentation.AugmentationSequential(*operations, data_keys=["input"]) if operations else None

    def __call__(self, images: Tensor) -> Tensor:
        """Changed images, shape as given, (n, 3, height, width) in [0, 1]."""
        if self._change is None:
            return images
        with torch.no_grad():
            changed: Any = self._change(images)
            return changed.clamp(0.0, 1.0)
