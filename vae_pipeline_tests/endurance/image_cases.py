"""What can be wrong with images: each case spoils the good parts in one way and says what a person is told."""

import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from vae_pipeline_tests.builders.pictures import save
from vae_pipeline_tests.endurance.cases import Case
from vae_pipeline_tests.endurance.media_plant import write_media_catalog

__all__ = ["HANDLED_IMAGES", "IMAGES"]

GOOD = "parts/train/good/003.png"
HOLE = "parts/test/hole"
MASK = "parts/ground_truth/hole/001_mask.png"


def cut(name: str, share: float = 0.5) -> Callable[[Path], object]:
    """Keep only the beginning of a file."""

    def spoil(plant: Path) -> None:
        content = (plant / name).read_bytes()
        (plant / name).write_bytes(content[: int(share * len(content))])

    return spoil


def written(name: str, content: bytes) -> Callable[[Path], object]:
    """Replace a file's content."""
    return lambda plant: (plant / name).write_bytes(content)


def removed(*patterns: str) -> Callable[[Path], object]:
    """Remove files, or folders with all they hold."""

    def spoil(plant: Path) -> None:
        for pattern in patterns:
            for path in plant.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    return spoil


def copied(source: str, target: str) -> Callable[[Path], object]:
    """Copy a file."""
    return lambda plant: shutil.copyfile(plant / source, plant / target)


def emptied(folder: str) -> Callable[[Path], object]:
    """Take all files out of a folder and leave the folder."""

    def spoil(plant: Path) -> None:
        for path in (plant / folder).iterdir():
            path.unlink()

    return spoil


def png_head(width: int, height: int) -> bytes:
    """The beginning of a PNG of 8-bit colours, without a pixel behind it."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0" * 64)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in (head, data)
    )


def as_form(form: Callable[[Image.Image], Image.Image], name: str = GOOD) -> Callable[[Path], object]:
    """Save an image in another form, the picture unchanged."""

    def spoil(plant: Path) -> None:
        with Image.open(plant / name) as image:
            image.load()
        form(image).save(plant / name)

    return spoil


def _sixteen_bits(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


def _half_clear(image: Image.Image) -> Image.Image:
    image.putalpha(Image.fromarray(np.full((image.height, image.width), 128, dtype=np.uint8)))
    return image


def _small(plant: Path) -> None:
    with Image.open(plant / MASK) as mask:
        smaller = mask.resize((24, 20))
    smaller.save(plant / MASK)


IMAGES = tuple(
    Case(what, spoil, told, "parts")
    for what, spoil, told in (
        ("a PNG is cut off", cut(GOOD), r"train/good/003\.png: the image is cut off or damaged"),
        ("a file named like an image is none", written(GOOD, b"no image\n"), r"train/good/003\.png: is no PNG"),
        (
            "an image of one pixel",
            lambda plant: save(plant / GOOD, np.zeros((1, 1, 3), dtype=np.uint8)),
            r"train/good/003\.png: the image has 1 x 1 pixels",
        ),
        (
            "an image of 20,000 x 20,000 pixels",
            written(GOOD, png_head(20_000, 20_000)),
            r"train/good/003\.png: the image has 20000 x 20000 pixels, more than imaging\.max_pixels",
        ),
        (
            "a mask of another size than its image",
            _small,
            r"ground_truth/hole/001_mask\.png: the mask has 24 x 20 pixels.*test/hole/001\.png 48 x 48",
        ),
        ("a mask is missing", removed(MASK), r"test/hole/001\.png: has no mask"),
        ("a class of defects is empty", emptied(HOLE), r"parts/test/hole: is empty"),
        (
            "a training image is copied to the test",
            copied(GOOD, "parts/test/good/copy.png"),
            r"test/good/copy\.png is the same file as train/good/003\.png",
        ),
        (
            "too few images",
            removed("parts/train/good/00[5-9].png", "parts/train/good/01*.png"),
            r"only 5 normal images in train: at least 6",
        ),
        (
            "a folder without images",
            lambda plant: [path.rename(path.with_suffix(".gif")) for path in (plant / "parts/train/good").iterdir()],
            r"parts/train/good: holds files but none that ends in",
        ),
        ("the folder is missing", removed("parts"), r"plant/parts does not exist"),
        (
            "a folder of one's own without images",
            lambda plant: (removed("parts/*")(plant), write_media_catalog(plant, {"kind": "images"})),
            r"plant/parts: holds no image",
        ),
    )
)
"""Refused; the pattern names the file, folder or setting."""

HANDLED_IMAGES = tuple(
    Case(what, spoil, told, "parts")
    for what, spoil, told in (
        ("an image of 16 bits", as_form(_sixteen_bits), r"003\.png has the colour mode I;16 .*16 bits"),
        (
            "an image with a palette",
            as_form(lambda image: image.quantize(64)),
            r"003\.png has the colour mode P .*palette",
        ),
        ("an image with transparency", as_form(_half_clear), r"003\.png has the colour mode RGBA .*white"),
        ("a grey image among coloured ones", as_form(lambda image: image.convert("L")), r"003\.png .* mode L .*grey"),
        (
            "an image of another size",
            as_form(lambda image: image.resize((60, 40))),
            r"003\.png is 60 x 40 pixels where most training images are 48 x 48",
        ),
        (
            "a test image saved again from a training image",
            lambda plant: (
                copied(GOOD, "parts/test/good/again.png")(plant),
                as_form(lambda image: image.resize((64, 64)), "parts/test/good/again.png")(plant),
            ),
            r"again\.png looks almost like train/good/003\.png",
        ),
        ("no test images", removed("parts/test", "parts/ground_truth"), r"only 12 normal images"),
    )
)
"""The run goes on; the pattern is what is told while it does."""
