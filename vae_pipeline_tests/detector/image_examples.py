"""A calibrated detector of a few small pictures; its network is drawn, not fitted, which no contract here asks for."""

from dataclasses import dataclass
from pathlib import Path

import torch

from vae_pipeline.detector.image_calibration import calibrate_images
from vae_pipeline.detector.images import ImageDetector
from vae_pipeline.detector.report import CalibrationReport
from vae_pipeline.features.build import build
from vae_pipeline.features.image_set import ImageSet
from vae_pipeline.models.export import export_decoder, export_onnx
from vae_pipeline.models.fit import save_network
from vae_pipeline.models.vision.network import ImageShape, VisionVAE
from vae_pipeline.records import Dataset
from vae_pipeline.settings import Settings
from vae_pipeline.sources.load import load
from vae_pipeline_tests.builders.pictures import picture_dataset, write_pictures

SIZE = 32


@dataclass(frozen=True)
class ImageExample:
    dataset: Dataset
    raw: Path
    network: Path
    images: ImageSet
    detector: ImageDetector
    report: CalibrationReport

    def files(self) -> list[Path]:
        """The raw files of all images, in the order of the features."""
        return [next((self.raw / "files").glob(f"{name.rsplit('.', 1)[0]}*")) for name in self.images.names]


def made_images(folder: Path, network: Path | None = None, *, turned: bool = False, **fields) -> ImageExample:
    """Pictures, features and detector below ``folder``; ``fields`` are the dataset's."""
    defects = {"hole": 3, "stain": 2}
    pictures = write_pictures(folder / "pictures", train=16, good=4, defects=defects, size=40, turned=turned)
    dataset = picture_dataset(folder=str(pictures), **{"split": {"calibrate": 0.5}, **fields})
    raw = folder / "raw"
    load(dataset, Settings(home=folder / "home"), raw)
    (folder / "features").mkdir()
    build(dataset, raw, folder / "features")
    images = ImageSet.open(folder / "features")
    network = network or draw_image_network(folder / "network")
    detector, report = calibrate_images(dataset, "0a1b", images, network)
    return ImageExample(dataset, raw, network, images, detector, report)


def draw_image_network(folder: Path, *, head: bool = True) -> Path:
    """``model.onnx`` and the weights of a network that was never fitted."""
    torch.manual_seed(0)
    network = VisionVAE(ImageShape(size=SIZE, width=4, latent=3, head=head)).eval()
    folder.mkdir(parents=True)
    save_network(network, folder)
    export_onnx(network, folder / "model.onnx")
    export_decoder(network, folder / "decoder.onnx")
    return folder / "model.onnx"
