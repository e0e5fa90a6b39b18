"""A tiny folder of images in the layout of MVTec AD, and the entry that reads it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from vae_pipeline.records import Dataset


def write_pictures(
    folder: Path,
    *,
    train: int = 6,
    good: int = 2,
    defects: Mapping[str, int] | None = None,
    size: int = 48,
    seed: int = 0,
    masks: bool = True,
    turned: bool = False,
) -> Path:
    """Write ``train/good``, ``test/good``, ``test/<defect>`` and, with ``masks``, ``ground_truth/<defect>``.

    An image is a bright disc with a dark bore on a grey table, noise of its own, and in defect images a black square
    somewhere on it. ``defects`` gives the number of images of each kind, ``{"hole": 2, "stain": 2}`` when left out;
    without ``good`` or ``defects`` there is no such folder. ``turned`` parts lie anyhow, see `turned_picture`.
    """
    rng = np.random.default_rng(seed)
    defects = {"hole": 2, "stain": 2} if defects is None else defects
    photographed = turned_picture if turned else picture
    for number in range(train):
        save(folder / f"train/good/{number:03d}.png", photographed(rng, size)[0])
    for number in range(good):
        save(folder / f"test/good/{number:03d}.png", photographed(rng, size)[0])
    for defect, count in defects.items():
        for number in range(count):
            pixels, mask = photographed(rng, size, defective=True)
            save(folder / f"test/{defect}/{number:03d}.png", pixels)
            if masks:
                save(folder / f"ground_truth/{defect}/{number:03d}_mask.png", mask.astype(np.uint8) * 255)
    return folder


def picture(rng: np.random.Generator, size: int = 48, *, defective: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """A picture uint8 (size, size, 3) and its mask, bool (size, size)."""
    row, column = np.mgrid[:size, :size] / size - 0.5
    radius = np.hypot(row, column)
    level = 90.0 + 90.0 * (radius < 0.4) - 120.0 * (radius < 0.12)
    pixels = level[:, :, None] * np.array([1.0, 0.95, 0.9]) * rng.normal(1.0, 0.03)
    pixels += rng.normal(0.0, 6.0, (size, size, 3))
    return _finished(rng, pixels, defective=defective)


def turned_picture(
    rng: np.random.Generator,
    size: int = 48,
    *,
    defective: bool = False,
    turn: float | None = None,
    shift: tuple[float, float] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """A picture and its mask of a disc with six holes and a red lug at one of them, lying anyhow.

    ``turn`` in degrees and ``shift`` (down, right) in shares of the side, at most 0.05, are drawn when left out.
    """
    turn = rng.uniform(0.0, 360.0) if turn is None else turn
    down, right = rng.uniform(-0.05, 0.05, 2) if shift is None else shift
    place = (np.arange(size) + 0.5) / size - 0.5
    across = place[None, :] - right + 1j * (place[:, None] - down)
    across = across * np.exp(1j * np.deg2rad(turn))
    holes = np.min([np.abs(across - 0.2 * np.exp(1j * np.pi * number / 3)) for number in range(6)], axis=0) < 0.05
    lug = (np.abs(across.real - 0.33) < 0.07) & (np.abs(across.imag) < 0.08)
    pixels = np.full((size, size, 3), 90.0)
    pixels[np.abs(across) < 0.3] = 170.0
    pixels[holes] = 40.0
    pixels[lug] = (180.0, 60.0, 50.0)
    pixels *= rng.normal(1.0, 0.03)
    pixels += rng.normal(0.0, 4.0, pixels.shape)
    return _finished(rng, pixels, defective=defective)


def _finished(rng: np.random.Generator, pixels: np.ndarray, *, defective: bool) -> tuple[np.ndarray, np.ndarray]:
    size = len(pixels)
    mask = np.zeros((size, size), dtype=bool)
    if defective:
        side = max(3, size // 8)
        top, left = rng.integers(size // 5, size - size // 5 - side, 2)
        mask[top : top + side, left : left + side] = True
        pixels[mask] = 10.0
    return np.clip(pixels, 0, 255).astype(np.uint8), mask


def save(path: Path, pixels: np.ndarray) -> Path:
    """Write an image file of the form that its suffix names, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def picture_dataset(kind: str = "mvtec", name: str = "part", **fields: object) -> Dataset:
    """A catalogue entry for such a folder, 32 px."""
    entry = {"name": name, "title": "a part", "line": "vision", "kind": kind, "licence": "none", **fields}
    return Dataset.model_validate({"imaging": {"size": 32}, **entry})
