"""Fitting any of the networks: a module and its batches in, a folder with the best epoch's weights and history out."""

import logging
import os
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint, TQDMProgressBar
from torch import nn
from torch.utils.data import DataLoader, RandomSampler, Sampler

from vae_pipeline.errors import TrainingError
from vae_pipeline.models.module import VaeModule
from vae_pipeline.models.multimodal.network import MultimodalVAE
from vae_pipeline.models.timeseries.network import TimeSeriesVAE
from vae_pipeline.models.vision.network import VisionVAE
from vae_pipeline.records import Record
from vae_pipeline.settings import load_settings
from vae_pipeline.storage import write_json

__all__ = [
    "Draws",
    "EpochReport",
    "FitResult",
    "Judge",
    "fit_module",
    "load_network",
    "require_samples",
    "save_network",
    "seeded",
    "warm_start",
]

EpochReport = Callable[[int, dict[str, float]], None]
"""Called after every epoch with its number and metrics."""

Judge = Callable[[int, nn.Module], None]
"""Called after every epoch with its number and the network as it would be kept; what it raises ends the fit."""

N = TypeVar("N", TimeSeriesVAE, VisionVAE, MultimodalVAE)


class FitResult(Record):
    """What fitting came to."""

    parameters: int
    samples: int
    epochs: int
    best_epoch: int
    validation_loss: float
    active_units: int
    seconds: float
    samples_per_second: float


class Draws(Sampler[int]):
    """The draws of another sampler, also over several devices: in place of a random one Lightning would put its own."""

    def __init__(self, drawn: RandomSampler) -> None:
        self._drawn = drawn

    def __iter__(self) -> Iterator[int]:
        return iter(self._drawn)

    def __len__(self) -> int:
        return len(self._drawn)


class _Reporter(pl.Callback):
    """Keeps the history and tells it to whoever listens."""

    def __init__(self, report: EpochReport | None, judge: Judge | None) -> None:
        self.history: list[dict[str, float]] = []
        self._report = report
        self._judge = judge

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
        if self._judge:
            self._judge(trainer.current_epoch, pl_module.network)  # type: ignore[arg-type]


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


def require_samples(what: str, fit: int, steering: int) -> None:
    """Refuse an empty set.

    Raises:
        TrainingError: there is nothing to fit on or nothing to steer by.
    """
    if not fit or not steering:
        msg = f"nothing to fit on: {fit} fit and {steering} validation {what}"
        raise TrainingError(msg)


def seeded(seed: int) -> None:
    """Set every generator and the number of threads, before a network is built."""
    torch.set_num_threads(int(os.environ.get("VAE_PIPELINE_THREADS") or os.cpu_count() or 1))
    pl.seed_everything(seed, verbose=False)


def fit_module(
    module: VaeModule,
    loaders: tuple[DataLoader[Any], DataLoader[Any]],
    folder: Path,
    *,
    samples: int,
    per_epoch: int,
    report: EpochReport | None = None,
    judge: Judge | None = None,
    progress: bool = False,
) -> FitResult:
    """Fit and keep the best epoch in ``folder``, on the devices and by the strategy of the settings.

    Args:
        module: the network with its terms of the loss.
        loaders: of training and of steering batches.
        folder: gets ``network.json``, ``weights.npz`` and ``history.json``.
        samples: how many there are to fit on, for the result.
        per_epoch: how many of them an epoch draws, for the result.
        report: called after every epoch.
        judge: called after every epoch with the network; a fit that is judged keeps to one device.
        progress: show Lightning's progress bar.

    Raises:
        TrainingError: the loss is not finite.
    """
    reporter, settings = _Reporter(report, judge), load_settings()
    network, optimisation = module.network, module.optimisation
    began = time.perf_counter()
    with _quiet(), tempfile.TemporaryDirectory() as scratch:
        # whole checkpoints: into those of weights alone Lightning does not put what a callback adds, their average
        checkpoint = ModelCheckpoint(scratch, monitor="validation_loss")
        stopping = EarlyStopping("validation_loss", patience=optimisation.patience)
        bar = [TQDMProgressBar(refresh_rate=10)] if progress else []
        trainer = pl.Trainer(
            max_epochs=optimisation.epochs,
            accelerator="auto",
            devices=1 if judge else settings.devices,
            strategy="auto" if judge else settings.strategy,
            gradient_clip_val=optimisation.gradient_clip,
            callbacks=[reporter, checkpoint, stopping, *bar],
            logger=False,
            enable_progress_bar=progress,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            deterministic="warn",
        )
        trainer.fit(module, *loaders)
        state = torch.load(checkpoint.best_model_path, map_location="cpu", weights_only=True)["state_dict"]
        trainer.strategy.barrier()  # the file is the first process's, and others may not have read it yet
    network.load_state_dict({key.removeprefix("network."): value for key, value in state.items()})
    network.cpu().eval()
    seconds = time.perf_counter() - began
    best = min(reporter.history, key=lambda item: item["validation_loss"])
    save_network(network, folder)
    write_json(folder / "history.json", reporter.history)
    return FitResult(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        samples=samples,
        epochs=len(reporter.history),
        best_epoch=int(best["epoch"]),
        validation_loss=best["validation_loss"],
        active_units=int(best["active_units"]),
        seconds=seconds,
        samples_per_second=len(reporter.history) * per_epoch / seconds,
    )


def save_network(network: nn.Module, folder: Path) -> None:
    """Write ``network.json`` (shape) and ``weights.npz``; no pickle."""
    write_json(folder / "network.json", network.shape)
    weights = {key: np.ascontiguousarray(value.numpy()) for key, value in network.state_dict().items()}
    np.savez(folder / "weights.npz", allow_pickle=False, **weights)


def load_network(folder: Path, kind: type[N]) -> N:
    """The network of class ``kind`` that `save_network` wrote, in evaluation mode.

    Raises:
        TrainingError: the folder holds no network of this form.
    """
    try:
        shape = kind.Shape.model_validate_json((folder / "network.json").read_text())
        network = kind(shape)
        with np.load(folder / "weights.npz", allow_pickle=False) as weights:
            network.load_state_dict({key: torch.from_numpy(weights[key]) for key in weights.files})
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        msg = f"{folder}: holds no network that can be loaded: {error}"
        raise TrainingError(msg) from error
    return network.eval()


def warm_start(network: N, start: Path) -> None:
    """Begin with the weights of an earlier fit.

    Raises:
        TrainingError: ``start`` holds no network of this shape.
    """
    earlier = load_network(start, type(network))
    if earlier.shape != network.shape:
        msg = f"{start}: a network of shape {earlier.shape} cannot start one of shape {network.shape}"
        raise TrainingError(msg)
    network.load_state_dict(earlier.state_dict())
