"""Fitting the VAE of pairs: pairs and the two lines' networks in, a folder with the best epoch's weights out."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, RandomSampler

from vae_pipeline.features.pair_set import Paired, PairSet
from vae_pipeline.models.fit import (
    Draws,
    EpochReport,
    FitResult,
    fit_module,
    load_network,
    require_samples,
    seeded,
    warm_start,
)
from vae_pipeline.models.multimodal.examples import PairExamples
from vae_pipeline.models.multimodal.module import FusionModule
from vae_pipeline.models.multimodal.network import FusionShape, MultimodalVAE
from vae_pipeline.models.timeseries.network import TimeSeriesVAE
from vae_pipeline.models.vision.network import VisionVAE
from vae_pipeline.records import FusionTraining, ImageTraining, Training

__all__ = ["fit"]

STEERING = 128
"""Pairs at most that steer."""


def fit(
    pairs: PairSet,
    training: FusionTraining,
    folder: Path,
    *,
    report: EpochReport | None = None,
    progress: bool = False,
    start: Path | None = None,
) -> FitResult:
    """Fit the VAE of pairs, beginning with the two lines' networks, and keep its best epoch in ``folder``.

    Args:
        pairs: the opened features folder of pairs; it holds the lines' networks.
        training: hyperparameters.
        folder: gets ``network.json``, ``weights.npz`` and ``history.json``.
        report: called after every epoch.
        progress: show Lightning's progress bar.
        start: folder of an earlier fit whose weights are the starting point instead.

    Raises:
        TrainingError: there is nothing to fit on, the loss is not finite, or a network has another shape.
    """
    fitted, steering = _held_out(pairs.paired("fit"), training.seed)
    require_samples("pairs", len(fitted.images), len(steering.images))
    seeded(training.seed)
    windows, images = (
        load_network(pairs.network("windows"), TimeSeriesVAE),
        load_network(pairs.network("images"), VisionVAE),
    )
    network = MultimodalVAE(FusionShape.of(training, windows.shape, images.shape))
    if start is not None:
        warm_start(network, start)
    else:
        network.adopt(windows, images)
    lines = (
        Training.model_validate_json((pairs.network("windows") / "training.json").read_text()),
        ImageTraining.model_validate_json((pairs.network("images") / "training.json").read_text()),
    )
    draws = max(training.pairs_per_epoch, training.batch_size)
    steps = training.epochs * -(-draws // training.batch_size)
    examples = PairExamples(fitted, training, lines)
    generator = torch.Generator().manual_seed(training.seed)
    sampler = Draws(RandomSampler(examples, replacement=True, num_samples=draws, generator=generator))
    loader: DataLoader[Any] = DataLoader(
        examples, batch_size=training.batch_size, sampler=sampler, collate_fn=_as_it_is
    )
    fixed: DataLoader[Any] = DataLoader(
        PairExamples(steering, training, lines, fixed=True), batch_size=32, collate_fn=_as_it_is
    )
    return fit_module(
        FusionModule(network, training, lines, steps),
        (loader, fixed),
        folder,
        samples=len(fitted.images),
        per_epoch=draws,
        report=report,
        progress=progress,
    )


def _held_out(paired: Paired, seed: int) -> tuple[Paired, Paired]:
    """Pairs to train on, and others, of other images, that steer."""
    known = np.random.default_rng(seed).permutation(np.unique(paired.images))
    held = np.isin(paired.images, known[: max(1, round(0.1 * len(known)))])
    return paired.subset(np.flatnonzero(~held)), paired.subset(np.flatnonzero(held)[:STEERING])


def _as_it_is(batch: Any) -> Any:
    return batch
