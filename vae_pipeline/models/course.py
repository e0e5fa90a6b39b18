"""How networks that see images are optimised: a rate that rises and falls, and an average of the weights."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor, nn

from vae_pipeline.records import Optimisation

__all__ = ["averaged_weights", "moving_average", "warmed_cosine"]

_LOWEST_RATE = 0.02
_WARMUP_STEPS = 30


def warmed_cosine(parameters: Iterable[nn.Parameter], optimisation: Optimisation, steps: int) -> Any:
    """AdamW whose rate rises for 30 steps and falls along a cosine over all ``steps``, as Lightning takes it."""
    optimizer = torch.optim.AdamW(
        parameters, lr=optimisation.learning_rate, weight_decay=optimisation.weight_decay, fused=True
    )

    def share(step: int) -> float:
        course = 0.5 * (1.0 + math.cos(math.pi * min(1.0, step / max(steps, 1))))
        return min(1.0, (step + 1) / _WARMUP_STEPS) * (_LOWEST_RATE + (1.0 - _LOWEST_RATE) * course)

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class _Averaging(WeightAveraging):
    """Leaves the average in place until validation has ended: who looks then sees what is kept, not what is fitted."""

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Nothing yet."""

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the weights that are fitted back, after callbacks of the trainer and before a checkpoint is written."""
        super().on_validation_epoch_end(trainer, pl_module)


def averaged_weights(decay: float) -> list[pl.Callback]:
    """The moving average of the weights, which is what steers and what is kept; nothing for a decay of 0."""
    return [_Averaging(avg_fn=moving_average(decay))] if decay else []


def moving_average(decay: float) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The step of an exponential moving average: the average so far, the new value and the count so far to the next.

    The first steps decay faster, (1 + n) / (10 + n), so that a short training does not keep what it began with,
    as TensorFlow's ExponentialMovingAverage does with ``num_updates``.
    """

    def step(average: Tensor, value: Tensor, count: Tensor) -> Tensor:
        kept = min(decay, (1.0 + float(count)) / (10.0 + float(count)))
        return average + (1.0 - kept) * (value - average)

    return step
