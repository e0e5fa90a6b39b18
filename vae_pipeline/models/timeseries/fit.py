"""Fitting the time-series VAE: windows in, a folder with the best epoch's weights and its history out."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, RandomSampler

from vae_pipeline.features.windows import Windows
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
from vae_pipeline.models.timeseries.module import TimeSeriesModule
from vae_pipeline.models.timeseries.network import NetworkShape, TimeSeriesVAE
from vae_pipeline.records import Training

__all__ = ["fit"]


class _WindowDataset(Dataset[torch.Tensor]):
    """Windows cut batch by batch; the fetcher asks for whole batches through ``__getitems__``."""

    def __init__(self, windows: Windows) -> None:
        self.windows = windows

    def __len__(self) -> int:
        return len(self.windows)

    def __getitems__(self, index: list[int]) -> torch.Tensor:
        return torch.from_numpy(self.windows.take(np.asarray(index)))


def fit(
    windows: Windows,
    validation: Windows,
    training: Training,
    folder: Path,
    *,
    report: EpochReport | None = None,
    judge: Judge | None = None,
    progress: bool = False,
    start: Path | None = None,
) -> FitResult:
    """Fit the time-series VAE and keep its best epoch in ``folder``.

    Args:
        windows: normal windows of the fit part.
        validation: normal windows of other units of the fit part; they steer early stopping and the learning rate.
        training: hyperparameters.
        folder: gets ``network.json``, ``weights.npz`` and ``history.json``.
        report: called after every epoch.
        judge: called after every epoch with the network.
        progress: show Lightning's progress bar.
        start: folder of an earlier fit whose weights are the starting point.

    Raises:
        TrainingError: there is nothing to fit on, the loss is not finite, or ``start`` has another shape.
    """
    require_samples("windows", len(windows), len(validation))
    seeded(training.seed)
    network = TimeSeriesVAE(NetworkShape.of(training, windows.channels, windows.length))
    if start is not None:
        warm_start(network, start)
    return fit_module(
        TimeSeriesModule(network, training),
        (_loader(windows, training, shuffle=True), _loader(validation, training, shuffle=False)),
        folder,
        samples=len(windows),
        per_epoch=min(len(windows), training.max_windows_per_epoch),
        report=report,
        judge=judge,
        progress=progress,
    )


def _loader(windows: Windows, training: Training, *, shuffle: bool) -> DataLoader[torch.Tensor]:
    dataset = _WindowDataset(windows)
    sampler = None
    if shuffle:
        generator = torch.Generator().manual_seed(training.seed)
        draws = min(len(windows), training.max_windows_per_epoch)
        sampler = Draws(RandomSampler(dataset, num_samples=draws, generator=generator))
    size = training.batch_size if shuffle else 1024
    return DataLoader(dataset, batch_size=size, sampler=sampler, collate_fn=_as_it_is)


def _as_it_is(batch: Any) -> Any:
    return batch
