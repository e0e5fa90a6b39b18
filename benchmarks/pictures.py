"""Made-up pictures in any number, cheap to make and small on disk, and the memory of each stage that they go through.

``python -m benchmarks.pictures STEP FOLDER`` prints the peaks of one step as `benchmarks.memory` does.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from benchmarks.memory import run_step
from vae_pipeline.records import Dataset, ImageTraining

if TYPE_CHECKING:
    from vae_pipeline.detector.images import ImageDetector
    from vae_pipeline.features.image_set import ImageSet

__all__ = ["PIXELS", "STEPS", "files_to_score", "image_entry", "image_network", "write_pictures"]

PIXELS = 128
"""On a side of every file."""

_TESTED = 0.2
_DEFECTIVE = 0.1
_GRAIN = 4  # pixels of one grain of noise on a side: noise of single pixels would not compress


def image_entry(folder: Path, size: int, **training: object) -> Dataset:
    """The catalogue entry of pictures that `write_pictures` put into ``folder/pictures``."""
    return Dataset.model_validate(
        {
            "name": "pictures",
            "title": "made-up pictures",
            "line": "vision",
            "kind": "images",
            "licence": "none",
            "folder": str(folder / "pictures"),
            "imaging": {"size": size},
            "training": {"epochs": 1, **training},
        }
    )


def write_pictures(folder: Path, count: int, seed: int = 0) -> None:
    """Write ``count`` PNG files in MVTec AD's layout, one at a time: a disc with a bore on a grainy ground.

    A fifth is to test, and half of that has a dark square somewhere, without a mask.
    """
    from PIL import Image

    random = np.random.default_rng(seed)
    tested, defective = round(_TESTED * count), round(_DEFECTIVE * count)
    parts = {"train/good": count - tested, "test/good": tested - defective, "test/hole": defective}
    row, column = np.mgrid[:PIXELS, :PIXELS] / PIXELS - 0.5
    radius = np.hypot(row, column)
    level = 90.0 + 90.0 * (radius < 0.4) - 120.0 * (radius < 0.12)
    for part, number in parts.items():
        (folder / part).mkdir(parents=True, exist_ok=True)
        for index in range(number):
            grain = random.normal(0.0, 8.0, (PIXELS // _GRAIN, PIXELS // _GRAIN, 3)).repeat(_GRAIN, 0).repeat(_GRAIN, 1)
            pixels = level[:, :, None] + grain
            if part == "test/hole":
                top, left = random.integers(PIXELS // 8, PIXELS - PIXELS // 4, 2)
                pixels[top : top + PIXELS // 8, left : left + PIXELS // 8] = 10.0
            picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
            picture.save(folder / part / f"{index:06d}.png", compress_level=1)


def image_network(entry: Dataset, path: Path) -> None:
    """Export an untrained network of the entry's shape."""
    from vae_pipeline.models.export import export_onnx
    from vae_pipeline.models.vision.network import ImageShape, VisionVAE

    shape = ImageShape.of(cast("ImageTraining", entry.training), entry.imaging.size or PIXELS)
    export_onnx(VisionVAE(shape), path)


def files_to_score(folder: Path, images: "ImageSet") -> Iterator[Path]:
    """The files of the test part."""
    for index in images.index("test"):
        yield folder / "raw" / "files" / images.names[index]


def _entry(folder: Path) -> Dataset:
    return Dataset.model_validate_json((folder / "dataset.json").read_text())


def _images(folder: Path) -> "ImageSet":
    from vae_pipeline.features.image_set import ImageSet

    return ImageSet.open(folder / "features")


def _start(_: Path) -> None:
    import vae_pipeline.detector.calibrate
    import vae_pipeline.features.build  # noqa: F401


def _raw(folder: Path) -> None:
    from vae_pipeline.settings import Settings
    from vae_pipeline.sources.load import load

    load(_entry(folder), Settings(home=folder), folder / "raw")  # below home files are linked


def _validate(folder: Path) -> None:
    from vae_pipeline.validation.validate import validate

    validate(_entry(folder), folder / "raw", folder / "verdict")


def _build(folder: Path) -> None:
    from vae_pipeline.features.build import build

    (folder / "features").mkdir()
    build(_entry(folder), folder / "raw", folder / "features")


def _train(folder: Path) -> None:
    from vae_pipeline.models.holdout import hold_out_images
    from vae_pipeline.models.vision.fit import fit

    images = _images(folder)
    index, steering = hold_out_images(images.index("fit"))
    (folder / "trained").mkdir()
    # every image once, on average, and in this process, whose memory it is
    every = {"images_per_epoch": len(index), "workers": 0}
    training = cast("ImageTraining", _entry(folder).training).model_copy(update=every)
    fit(images.pixels, index, steering, training, folder / "trained")


def _calibrate(folder: Path) -> None:
    from vae_pipeline.detector.calibrate import calibrate

    detector, _ = calibrate(_entry(folder), "memory", folder / "features", folder / "model.onnx")
    detector.save(folder / "detector")


def _score(folder: Path) -> None:
    from vae_pipeline.detector.detector import Detector

    detector = cast("ImageDetector", Detector.load(folder / "detector"))
    for _ in detector.score_pictures(files_to_score(folder, _images(folder))):
        pass


STEPS: dict[str, Callable[[Path], object]] = {
    "start": _start,
    "raw": _raw,
    "validate": _validate,
    "build": _build,
    "train": _train,
    "calibrate": _calibrate,
    "score": _score,
}
"""What can be measured, in the order in which one needs the other's output."""


if __name__ == "__main__":
    sys.exit(run_step(STEPS, sys.argv[1:]))
