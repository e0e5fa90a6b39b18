"""A calibrated detector on a small table; its network is drawn, not fitted, which no contract here asks for."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

from vae_pipeline.detector.report import CalibrationReport
from vae_pipeline.detector.window_calibration import calibrate_windows
from vae_pipeline.detector.windows import WindowDetector
from vae_pipeline.features.build import build
from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline.models.export import export_decoder, export_onnx
from vae_pipeline.models.fit import save_network
from vae_pipeline.models.timeseries.network import NetworkShape, TimeSeriesVAE
from vae_pipeline.records import Calibration, Dataset
from vae_pipeline_tests.builders.raw import write_raw


@dataclass(frozen=True)
class Example:
    dataset: Dataset
    raw: Path
    network: Path
    features: FeatureSet
    detector: WindowDetector
    report: CalibrationReport

    def test_columns(self) -> dict[str, np.ndarray]:
        """The raw test file as the detector is handed it."""
        return columns_of(self.raw / "test.parquet")


def columns_of(file: Path) -> dict[str, np.ndarray]:
    table = pq.read_table(file)
    return {name: np.array(table[name].to_pylist()) for name in table.column_names}


def made(folder: Path, *, calibration: Calibration | None = None, **options) -> Example:
    """Raw tables, features and detector below ``folder``; ``options`` as of ``write_raw``."""
    dataset = write_raw(folder / "raw", **options)
    if calibration:
        dataset = dataset.model_copy(update={"calibration": calibration})
    (folder / "features").mkdir()
    build(dataset, folder / "raw", folder / "features")
    features = FeatureSet.open(folder / "features")
    network = draw_network(folder / "network", len(features.sensors), features.length)
    detector, report = calibrate_windows(dataset, "0a1b", features, network)
    return Example(dataset, folder / "raw", network, features, detector, report)


def draw_network(folder: Path, channels: int, length: int) -> Path:
    """``model.onnx`` and the weights of a network that was never fitted."""
    torch.manual_seed(0)
    shape = NetworkShape(channels=channels, length=length, encoder="mlp", hidden=(16,), latent=3)
    folder.mkdir(parents=True)
    network = TimeSeriesVAE(shape).eval()
    save_network(network, folder)
    export_onnx(network, folder / "model.onnx")
    export_decoder(network, folder / "decoder.onnx")
    return folder / "model.onnx"
