"""A features folder to a trained folder: what every caller of `fit` would have to do around it."""

from pathlib import Path

from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline.models.export import export_onnx
from vae_pipeline.models.fit import EpochReport, FitResult, fit, load_network
from vae_pipeline.models.holdout import hold_out
from vae_pipeline.records import Training

__all__ = ["train"]


def train(
    features: FeatureSet,
    training: Training,
    folder: Path,
    *,
    report: EpochReport | None = None,
    progress: bool = False,
    start: Path | None = None,
) -> FitResult:
    """Fit on normal windows of the fit part and export the best epoch.

    Args:
        features: the opened features folder.
        training: hyperparameters.
        folder: gets ``network.json``, ``weights.npz``, ``history.json`` and ``model.onnx``.
        report: called after every epoch.
        progress: show a progress bar.
        start: folder of an earlier fit to start from.

    Raises:
        TrainingError: see `vae_pipeline.models.fit.fit`.
    """
    normal = features.windows("fit", healthy_only=True)
    windows, steering = hold_out(normal, features.units(normal), seed=training.seed)
    fitted = fit(windows, steering, training, folder, report=report, progress=progress, start=start)
    export_onnx(load_network(folder), folder / "model.onnx")
    return fitted
