"""Fitting the vision VAE: images in, a folder with the best epoch's weights and its history out."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, RandomSampler

from vae_pipeline.features.stored_images import Pixels
from vae_pipeline.models.fit import (
    Draws,
    EpochReport,
    FitResult,
    Judge,
    fit_module,
    require_samples,
    seeded,
    warm_start,
)
from vae_pipeline.models.vision.examples import ImageExamples
from vae_pipeline.models.vision.module import Shown, VisionModule
from vae_pipeline.models.vision.network import ImageShape, VisionVAE
from vae_pipeline.records import ImageTraining

__all__ = ["Show", "fit"]

Show = Callable[[int, Shown], None]
"""Called after every epoch with its number and a few images."""

_FEW_CORES = 4


def fit(
    images: Pixels,
    index: np.ndarray,
    steering: np.ndarray,
    training: ImageTraining,
    folder: Path,
    *,
    report: EpochReport | None = None,
    judge: Judge | None = None,
    show: Show | None = None,
    progress: bool = False,
    start: Path | None = None,
) -> FitResult:
    """Fit the vision VAE and keep its best epoch in ``folder``.

    Args:
        images: all images, uint8 (n_images, size, size, 3).
        index: normal images of the fit part, int64 (n,).
        steering: others of the fit part; they steer early stopping.
        training: hyperparameters.
        folder: gets ``network.json``, ``weights.npz`` and ``history.json``.
        report: called after every epoch.
        judge: called after every epoch with the network.
        show: called after every epoch with a few images.
        progress: show Lightning's progress bar.
        start: folder of an earlier fit whose weights are the starting point.

    Raises:
        TrainingError: there is nothing to fit on, the loss is not finite, or ``start`` has another shape.
    """
    require_samples("images", len(index), len(steering))
    seeded(training.seed)
    network = VisionVAE(ImageShape.of(training, images.shape[1]))
    if start is not None:
        warm_start(network, start)
    draws = max(training.images_per_epoch, training.batch_size)
    steps = training.epochs * -(-draws // training.batch_size)
    module = VisionModule(network, training, steps)

    def told(epoch: int, metrics: dict[str, float]) -> None:
        if report:
            report(epoch, metrics)
        if show and module.shown:
            show(epoch, module.shown)

    examples = ImageExamples(images, index, training)
    generator = torch.Generator().manual_seed(training.seed)
    sampler = Draws(RandomSampler(examples, replacement=True, num_samples=draws, generator=generator))
    workers = _workers() if training.workers is None else training.workers
    loader: DataLoader[Any] = DataLoader(
        examples,
        batch_size=training.batch_size,
        sampler=sampler,
        collate_fn=_as_it_is,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    fixed: DataLoader[Any] = DataLoader(
        ImageExamples(images, steering, training, fixed=True), batch_size=32, collate_fn=_as_it_is
    )
    return fit_module(
        module,
        (loader, fixed),
        folder,
        samples=len(index),
        per_epoch=draws,
        report=told,
        judge=judge,
        progress=progress,
    )


def _workers() -> int:
    """Processes that make examples: none where they would take the cores away from the network."""
    cores = os.cpu_count() or 1
    return 0 if cores < _FEW_CORES else min(8, cores - 2)


def _as_it_is(batch: Any) -> Any:
    return batch
