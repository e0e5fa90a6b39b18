"""Fitting: windows in, a folder with the best epoch's weights and its history out."""

import logging
import os
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint, TQDMProgressBar
from torch.utils.data import DataLoader, Dataset, RandomSampler

from vae_pipeline.errors import TrainingError
from vae_pipeline.features.windows import Windows
from vae_pipeline.models.timeseries.module import TimeSeriesModule
from vae_pipeline.models.timeseries.network import NetworkShape, TimeSeriesVAE
from vae_pipeline.records import Record, Training
from vae_pipeline.storage import write_json

__all__ = ["EpochReport", "FitResult", "fit", "load_network", "save_network"]

EpochReport = Callable[[int, dict[str, float]], None]
"""Called after every epoch with its number and metrics."""


class FitResult(Record):
    """What fitting came to."""

    parameters: int
    windows: int
    epochs: int
    best_epoch: int
    validation_loss: float
    active_units: int
    seconds: float
    windows_per_second: float


class _WindowDataset(Dataset[torch.Tensor]):
    """Windows cut batch by batch; the fetcher asks for whole batches through ``__getitems__``."""

    def __init__(self, windows: Windows) -> None:
        self.windows = windows

    def __len__(self) -> int:
        return len(self.windows)

    def __getitems__(self, index: list[int]) -> torch.Tensor:
        return torch.from_numpy(self.windows.take(np.asarray(index)))


class _Reporter(pl.Callback):
    """Keeps the history and tells it to whoever listens."""

    def __init__(self, report: EpochReport | None) -> None:
        self.history: list[dict[str, float]] = []
        self._report = report

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        metrics = {"epoch": float(trainer.current_epoch), **pl_module.epoch_metrics}  # type: ignore[dict-item]
        if not np.isfinite(metrics["train_loss"]) or not np.isfinite(metrics["validation_loss"]):
            msg = (
                f"the loss is not finite in epoch {trainer.current_epoch}; "
                "lower training.learning_rate or check the data for extreme values"
            )
            raise TrainingError(msg)
        self.history.append(metrics)
        if self._report:
            self._report(trainer.current_epoch, metrics)


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning's advice on workers, loggers and accelerators is not for the user of a 2-core pipeline."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="pytorch_lightning")
            warnings.filterwarnings("ignore", module="torch.utils.data")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def fit(
    windows: Windows,
    validation: Windows,
    training: Training,
    folder: Path,
    *,
    report: EpochReport | None = None,
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
        progress: show Lightning's progress bar.
        start: folder of an earlier fit whose weights are the starting point.

    Raises:
        TrainingError: there is nothing to fit on, the loss is not finite, or ``start`` has another shape.
    """
    if not len(windows) or not len(validation):
        msg = f"nothing to fit on: {len(windows)} fit and {len(validation)} validation windows"
        raise TrainingError(msg)
    torch.set_num_threads(int(os.environ.get("VAE_PIPELINE_THREADS") or os.cpu_count() or 1))
    pl.seed_everything(training.seed, verbose=False)
    channels = windows.rows.shape[1]
    network = TimeSeriesVAE(NetworkShape.of(training, channels, windows.length))
    if start is not None:
        _warm_start(network, start)
    module = TimeSeriesModule(network, training)
    reporter = _Reporter(report)
    began = time.perf_counter()
    with _quiet(), tempfile.TemporaryDirectory() as scratch:
        checkpoint = ModelCheckpoint(scratch, monitor="validation_loss", save_weights_only=True)
        stopping = EarlyStopping("validation_loss", patience=training.patience)
        bar = [TQDMProgressBar(refresh_rate=10)] if progress else []
        trainer = pl.Trainer(
            max_epochs=training.epochs,
            accelerator="auto",
            devices=1,
            gradient_clip_val=training.gradient_clip,
            callbacks=[reporter, checkpoint, stopping, *bar],
            logger=False,
            enable_progress_bar=progress,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            deterministic="warn",
        )
        trainer.fit(module, _loader(windows, training, shuffle=True), _loader(validation, training, shuffle=False))
        state = torch.load(checkpoint.best_model_path, map_location="cpu", weights_only=True)["state_dict"]
    network.load_state_dict({key.removeprefix("network."): value for key, value in state.items()})
    network.cpu().eval()
    seconds = time.perf_counter() - began
    best = min(reporter.history, key=lambda item: item["validation_loss"])
    save_network(network, folder)
    write_json(folder / "history.json", reporter.history)
    seen = len(reporter.history) * min(len(windows), training.max_windows_per_epoch)
    return FitResult(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        windows=len(windows),
        epochs=len(reporter.history),
        best_epoch=int(best["epoch"]),
        validation_loss=best["validation_loss"],
        active_units=int(best["active_units"]),
        seconds=seconds,
        windows_per_second=seen / seconds,
    )


def _loader(windows: Windows, training: Training, *, shuffle: bool) -> DataLoader[torch.Tensor]:
    dataset = _WindowDataset(windows)
    sampler = None
    if shuffle:
        generator = torch.Generator().manual_seed(training.seed)
        draws = min(len(windows), training.max_windows_per_epoch)
        sampler = RandomSampler(dataset, num_samples=draws, generator=generator)
    size = training.batch_size if shuffle else 1024
    return DataLoader(dataset, batch_size=size, sampler=sampler, collate_fn=_as_it_is)


def _as_it_is(batch: Any) -> Any:
    return batch


def save_network(network: TimeSeriesVAE, folder: Path) -> None:
    """Write ``network.json`` (shape) and ``weights.npz``; no pickle."""
    write_json(folder / "network.json", network.shape)
    np.savez(folder / "weights.npz", **{key: value.numpy() for key, value in network.state_dict().items()})


def load_network(folder: Path) -> TimeSeriesVAE:
    """The network that `save_network` wrote, in evaluation mode.

    Raises:
        TrainingError: the folder holds no network of this form.
    """
    try:
        shape = NetworkShape.model_validate_json((folder / "network.json").read_text())
        network = TimeSeriesVAE(shape)
        with np.load(folder / "weights.npz", allow_pickle=False) as weights:
            network.load_state_dict({key: torch.from_numpy(weights[key]) for key in weights.files})
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        msg = f"{folder}: holds no network that can be loaded: {error}"
        raise TrainingError(msg) from error
    return network.eval()


def _warm_start(network: TimeSeriesVAE, start: Path) -> None:
    earlier = load_network(start)
    if earlier.shape != network.shape:
        msg = f"{start}: a network of shape {earlier.shape} cannot start one of shape {network.shape}"
        raise TrainingError(msg)
    network.load_state_dict(earlier.state_dict())
