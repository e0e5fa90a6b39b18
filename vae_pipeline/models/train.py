"""A features folder to a trained folder: what every caller of a line's `fit` would have to do around it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from vae_pipeline.features.feature_set import FeatureSet, fold_folders
from vae_pipeline.features.image_set import ImageSet
from vae_pipeline.features.pair_set import PairSet
from vae_pipeline.models.export import export_decoder, export_onnx
from vae_pipeline.models.fit import EpochReport, FitResult, Judge, load_network
from vae_pipeline.models.holdout import hold_out, hold_out_images
from vae_pipeline.models.multimodal import fit as pairs_fit
from vae_pipeline.models.multimodal.network import MultimodalVAE
from vae_pipeline.models.ranks import fit_in_processes, is_spread
from vae_pipeline.models.timeseries import fit as windows_fit
from vae_pipeline.models.timeseries.network import TimeSeriesVAE
from vae_pipeline.models.vision import fit as images_fit
from vae_pipeline.models.vision.fit import Show
from vae_pipeline.models.vision.network import VisionVAE
from vae_pipeline.records import Dataset, FusionTraining, ImageTraining, Training
from vae_pipeline.settings import load_settings

__all__ = ["Told", "fit_here", "fold_networks", "train"]


@dataclass(frozen=True)
class Told:
    """Who is told of the course of a training.

    Attributes:
        report: called after every epoch with its metrics.
        show: called after every epoch with a few images, where there are images.
        say: called with a word on what is being done beside that.
        progress: show a progress bar.
        judge: called after every epoch with the network; what it raises ends the training.
    """

    report: EpochReport | None = None
    show: Show | None = None
    say: Callable[[str], object] = str  # str() of a word does nothing
    progress: bool = False
    judge: Judge | None = None


def train(
    dataset: Dataset,
    features: Path,
    folder: Path,
    told: Told | None = None,
    start: Path | None = None,
    *,
    folds: bool = True,
) -> FitResult:
    """Fit on normal samples of the fit part and export the best epoch.

    Args:
        dataset: its medium says which network, its ``training`` how it is fitted.
        features: the features folder; where it holds leave-out folds a network is fitted for each of them as well.
        folder: gets ``network.json``, ``weights.npz``, ``history.json``, ``model.onnx`` and ``decoder.onnx``, and the
            same in ``folds/<number>`` for each fold.
        told: who is told.
        start: folder of an earlier fit to start from.
        folds: fit the networks of leave-out folds as well.

    Raises:
        TrainingError: there is nothing to fit on, the loss is not finite, or ``start`` has another shape.
    """
    told = told or Told()
    fit = fit_in_processes if is_spread(load_settings()) and told.judge is None else fit_here
    fitted = fit(dataset, features, folder, told, start)
    left_out = list(fold_networks(features, folder)) if folds and dataset.medium not in ("image", "pair") else []
    for number, (fold, network) in enumerate(left_out, start=1):
        told.say(f"leave-out fold {number} of {len(left_out)}")
        network.mkdir(parents=True)
        fit(dataset, fold, network, Told(), start)
    return fitted


def fit_here(dataset: Dataset, features: Path, folder: Path, told: Told, start: Path | None = None) -> FitResult:
    """`train` without leave-out folds, in this process."""
    if dataset.medium == "image":
        images = ImageSet.open(features)
        return _train_images(images, _every_turn(dataset, images), folder, told, start)
    if dataset.medium == "pair":
        return _train_pairs(PairSet.open(features), cast("FusionTraining", dataset.training), folder, told, start)
    return _train_windows(FeatureSet.open(features), cast("Training", dataset.training), folder, told, start)


def fold_networks(features: Path, folder: Path) -> Iterator[tuple[Path, Path]]:
    """Each leave-out fold's features folder, and the folder of its network below ``folder``."""
    for fold in fold_folders(features):
        yield fold, folder / "folds" / fold.name


def _train_windows(features: FeatureSet, training: Training, folder: Path, told: Told, start: Path | None) -> FitResult:
    normal = features.windows("fit", healthy_only=True)
    windows, steering = hold_out(normal, features.units(normal), seed=training.seed)
    fitted = windows_fit.fit(
        windows,
        steering,
        training,
        folder,
        report=told.report,
        judge=told.judge,
        progress=told.progress,
        start=start,
    )
    _export(load_network(folder, TimeSeriesVAE), folder)
    return fitted


def _every_turn(dataset: Dataset, images: ImageSet) -> ImageTraining:
    """The training parameters; the network is to see every turn of objects that could not be brought to one."""
    training = cast("ImageTraining", dataset.training)
    turned = dataset.imaging.pose == "free" and images.registration is None
    return training.model_copy(update={"rotation": 180.0}) if turned and training.rotation is None else training


def _train_images(images: ImageSet, training: ImageTraining, folder: Path, told: Told, start: Path | None) -> FitResult:
    index, steering = hold_out_images(images.index("fit"), seed=training.seed)
    fitted = images_fit.fit(
        images.pixels,
        index,
        steering,
        training,
        folder,
        report=told.report,
        show=told.show,
        judge=told.judge,
        progress=told.progress,
        start=start,
    )
    _export(load_network(folder, VisionVAE), folder)
    return fitted


def _train_pairs(pairs: PairSet, training: FusionTraining, folder: Path, told: Told, start: Path | None) -> FitResult:
    fitted = pairs_fit.fit(pairs, training, folder, report=told.report, progress=told.progress, start=start)
    export_onnx(load_network(folder, MultimodalVAE), folder / "model.onnx")
    return fitted


def _export(network: TimeSeriesVAE | VisionVAE, folder: Path) -> None:
    export_onnx(network, folder / "model.onnx")
    export_decoder(network, folder / "decoder.onnx")
