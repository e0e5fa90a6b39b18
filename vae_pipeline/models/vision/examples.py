"""Training examples: a normal image, the same with a synthetic anomaly, and where that is."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vae_pipeline.features.image_anomalies import TRAINED, planes, salience, with_anomalies
from vae_pipeline.features.stored_images import Pixels
from vae_pipeline.models.vision.augmentation import ImageAugmentation
from vae_pipeline.records import ImageTraining

__all__ = ["Examples", "ImageExamples"]


class Examples(NamedTuple):
    """A batch.

    Attributes:
        inputs: images, some with an anomaly, (n, 3, size, size), float32 in [0, 1].
        targets: the same without, what the network should give.
        masks: 1 where the anomaly is, (n, size, size), float32.
    """

    inputs: Tensor
    targets: Tensor
    masks: Tensor


class ImageExamples(Dataset[Examples]):
    """Examples made anew whenever they are asked for; the fetcher asks for whole batches through ``__getitems__``.

    ``fixed`` examples are not augmented and always have the same anomalies, in every second image: they steer.
    """

    def __init__(self, images: Pixels, index: np.ndarray, training: ImageTraining, *, fixed: bool = False) -> None:
        """Examples of ``images[index]``.

        Args:
            images: all images, uint8 (n_images, size, size, 3).
            index: which to use, shape (n,), int64.
            training: augmentation, share of anomalous examples and seed.
            fixed: see the class.
        """
        self.images = images
        self.index = index
        self.training = training
        self.fixed = fixed
        self.augment = ImageAugmentation(training)
        self.place = salience(images, index)

    def __len__(self) -> int:
        return len(self.index)

    def __getitems__(self, asked: list[int]) -> Examples:
        clean = torch.from_numpy(planes(self.images[self.index[asked]]))
        if self.fixed:
            random = np.random.default_rng([self.training.seed, *asked])
            chosen = np.arange(len(asked)) % 2 == 0
        else:
            clean = self.augment(clean)
            # torch's generator is seeded once and differs from worker to worker
            random = np.random.default_rng(int(torch.randint(2**62, ()).item()))
            chosen = random.random(len(asked)) < self.training.anomalous_share
        targets = clean.numpy()
        donors = planes(self.images[np.sort(random.choice(self.index, len(asked)))])
        inputs, masks = with_anomalies(targets, donors, chosen, TRAINED, self.place, random)
        return Examples(
            *(torch.from_numpy(values) for values in (inputs, np.ascontiguousarray(targets), masks.astype(np.float32)))
        )
