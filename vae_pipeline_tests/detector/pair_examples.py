"""A calibrated detector of small pairs; its networks are drawn, not fitted, which no contract here asks for."""

from dataclasses import dataclass
from pathlib import Path

from vae_pipeline.detector.pair_calibration import calibrate_pairs
from vae_pipeline.detector.pairs import PairDetector
from vae_pipeline.detector.report import CalibrationReport
from vae_pipeline.features.pair_set import PairSet
from vae_pipeline.features.pairs import LineFolders, build_pairs
from vae_pipeline.models.export import export_onnx
from vae_pipeline.models.fit import load_network, save_network
from vae_pipeline.models.multimodal.network import FusionShape, MultimodalVAE
from vae_pipeline.models.timeseries.network import TimeSeriesVAE
from vae_pipeline.models.vision.network import VisionVAE
from vae_pipeline.records import Dataset, FusionCalibration, ImageTraining, Training
from vae_pipeline.storage import write_json
from vae_pipeline_tests.detector.examples import Example, made
from vae_pipeline_tests.detector.image_examples import ImageExample, made_images


@dataclass(frozen=True)
class PairExample:
    dataset: Dataset
    pairs: PairSet
    network: Path
    detector: PairDetector
    report: CalibrationReport
    folder: Path


def pair_dataset(**fields) -> Dataset:
    """A catalogue entry of pairs of the tiny table and the tiny part."""
    pairs = {"timeseries": "tiny", "vision": "part", "fit": 40, "calibrate": 150, "group": 12, **fields}
    entry = {"name": "tiny+part", "title": "small pairs", "line": "multimodal", "kind": "pairs", "licence": "none"}
    return Dataset.model_validate({**entry, "pairs": pairs})


def line_folders(example: Example, images: ImageExample, folder: Path) -> dict[str, LineFolders]:
    """The two examples as lines leave them."""
    sides = {"windows": (example, Training()), "images": (images, ImageTraining(width=4, latent=3, epochs=1))}
    found = {}
    for name, (side, training) in sides.items():
        trained = side.network.parent
        write_json(trained / "training.json", training)
        side.detector.save(folder / name / "detector")
        features = side.features.folder if name == "windows" else side.images.folder
        found[name] = LineFolders(side.dataset, side.raw, features, trained, folder / name)
    return found


def made_pairs(folder: Path, **fields) -> PairExample:
    """Both lines, pairs and their detector below ``folder``; ``fields`` are those of the dataset's ``pairs``."""
    lines = line_folders(made(folder / "table"), made_images(folder / "pictures"), folder / "calibrated")
    dataset = pair_dataset(**fields)
    (folder / "features").mkdir()
    build_pairs(dataset, lines, folder / "features")
    pairs = PairSet.open(folder / "features")
    network = draw_pair_network(pairs, folder / "network")
    detector, report = calibrate_pairs(dataset, "0a1b", pairs, network)
    return PairExample(dataset, pairs, network, detector, report, folder)


def draw_pair_network(pairs: PairSet, folder: Path) -> Path:
    """``model.onnx`` and the weights of a network that begins as the two lines' do."""
    windows = load_network(pairs.network("windows"), TimeSeriesVAE)
    images = load_network(pairs.network("images"), VisionVAE)
    shape = FusionShape(windows=windows.shape, images=images.shape, latent=6, fusion="concatenation")
    network = MultimodalVAE(shape).eval()
    network.adopt(windows, images)
    folder.mkdir(parents=True)
    save_network(network, folder)
    export_onnx(network, folder / "model.onnx")
    return folder / "model.onnx"


def calibration(**stated) -> FusionCalibration:
    return FusionCalibration(**stated)
