"""Generate ``sample_product``: photographs of a product, or of a cloth, with defects and masks in MVTec AD's layout."""

from pathlib import Path

import numpy as np
from PIL import Image

from vae_pipeline.errors import CatalogError
from vae_pipeline.records import Dataset
from vae_pipeline.sources import product_cloth, product_part
from vae_pipeline.storage import place_folder, told, work_folder

__all__ = ["VARIANTS", "VERSION", "generate"]

VERSION = 1
"""Counts up whenever the same seed gives other images."""

VARIANTS = ("aligned part", "freely turned part", "texture")
"""What ``generator.variant`` counts, from 0."""

_TEXTURE = VARIANTS.index("texture")
_FREE = VARIANTS.index("freely turned part")
_LIMITS = {
    "train": (1, 100_000),
    "test_good": (0, 100_000),
    "test_defect": (0, 100_000),
    "size": (32, 1024),
    "variant": (0, len(VARIANTS) - 1),
    "seed": (0, 2**32 - 1),
}


def generate(dataset: Dataset, into: Path) -> Path:
    """Write ``<name>/train/good``, ``test`` and ``ground_truth`` into the folder ``into``, whole or not at all.

    The dataset's ``generator`` states train, test_good, test_defect (images; the last of each kind of defect), size
    (pixels on a side), variant (of ``VARIANTS``) and seed; the same ones give the same bytes. An image depends on its
    number, not on how many there are.

    Raises:
        CatalogError: one of these is missing or out of range.
        StorageError: the folder cannot be written.
    """
    stated = _stated(dataset)
    if into.is_dir():
        return into
    defects = product_cloth.DEFECTS if stated["variant"] == _TEXTURE else product_part.DEFECTS
    classes = [("train", "good", stated["train"]), ("test", "good", stated["test_good"])]
    classes += [("test", defect, stated["test_defect"]) for defect in defects]
    with told(into), work_folder(into.parent) as work:
        for number, (part, name, count) in enumerate(classes):
            defect = None if name == "good" else name
            for image in range(count):
                picture, mask = _photograph(stated, (number, image), defect)
                base = work / dataset.name
                _write(base / part / name / f"{image:03d}.png", picture)
                if defect:
                    _write(base / "ground_truth" / name / f"{image:03d}_mask.png", mask.astype(np.uint8) * 255)
        place_folder(work, into)
    return into


def _photograph(stated: dict[str, int], number: tuple[int, int], defect: str | None) -> tuple[np.ndarray, np.ndarray]:
    scene, flaw = (np.random.default_rng((stated["seed"], stated["variant"], *number, what)) for what in (0, 1))
    if stated["variant"] == _TEXTURE:
        return product_cloth.photograph_cloth(scene, flaw, stated["size"], defect)
    return product_part.photograph_part(scene, flaw, stated["size"], defect, free=stated["variant"] == _FREE)


def _write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _stated(dataset: Dataset) -> dict[str, int]:
    stated = dataset.generator
    wrong = [key for key, value in stated.items() if key not in _LIMITS or not _within(value, _LIMITS[key])]
    wrong += [key for key in _LIMITS if key not in stated]
    if wrong:
        limits = ", ".join(f"{key} ({low} to {high})" for key, (low, high) in _LIMITS.items())
        msg = f"dataset {dataset.name!r}: generator.{wrong[0]} is missing or unfit; state {limits}"
        raise CatalogError(msg)
    return stated


def _within(value: int, limits: tuple[int, int]) -> bool:
    return limits[0] <= value <= limits[1]
