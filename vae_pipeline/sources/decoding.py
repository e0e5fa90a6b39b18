"""Decode an image file, whoever wrote it, to one form, and say in one sentence why one cannot be used.

Light: a service loads it too. PNG, JPEG, BMP, TIFF and WEBP are read, the first picture of a file with several. No
limit of Pillow's own is in force, nor changed: files are opened by their plugin, and the size is checked in the header.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import (
    BmpImagePlugin,
    Image,
    ImageFile,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from vae_pipeline.errors import DataError

__all__ = ["MIN_SIDE", "SUFFIXES", "Header", "decode_mask", "decode_picture", "read_header"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
"""Of files that are taken for images, in lower case."""

MIN_SIDE = 16
"""Pixels; nothing is to be found in images with a shorter side."""

_PLUGINS: tuple[tuple[re.Pattern[bytes], str, Callable[[BinaryIO], ImageFile.ImageFile]], ...] = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "PNG", PngImagePlugin.PngImageFile),
    (re.compile(rb"\xff\xd8\xff"), "JPEG", JpegImagePlugin.JpegImageFile),
    (re.compile(rb"BM"), "BMP", BmpImagePlugin.BmpImageFile),
    (re.compile(rb"II\x2a\x00|MM\x00\x2a|II\x2b\x00|MM\x00\x2b"), "TIFF", TiffImagePlugin.TiffImageFile),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), "WEBP", WebPImagePlugin.WebPImageFile),
)
_HEAD = 16  # bytes that tell the format
_ORIENTATION = 0x0112  # the EXIF tag
_RINGS_BELOW = 128  # a lossy file smears what was black or white; half way is the edge


@dataclass(frozen=True)
class Header:
    """What an image file says of itself before it is decoded.

    Attributes:
        width: pixels, as the picture is shown: turned as its EXIF orientation says.
        height: likewise.
        mode: Pillow's name of the pixels' form, such as ``RGB``, ``L``, ``I;16``, ``P``, ``RGBA``.
        format: PNG, JPEG, BMP, TIFF or WEBP.
    """

    width: int
    height: int
    mode: str
    format: str


def read_header(source: Path | bytes, name: str | None = None, max_pixels: int | None = None) -> Header:
    """Size and form of an image file, of which only the beginning is read.

    Args:
        source: the file, or its content.
        name: what messages call it; its path when left out.
        max_pixels: larger images are refused.

    Raises:
        DataError: it is no image of a known format, or too large.
    """
    name = name or str(source)
    with _opened(source, name) as (image, form):
        header = _header(image, form)
    if max_pixels is not None:
        _refuse_many_pixels(header, name, max_pixels)
    return header


def decode_picture(source: Path | bytes, name: str, max_pixels: int) -> np.ndarray:
    """An image file's content as uint8 (height, width, 3), red, green and blue; grey ones have three equal channels.

    It is turned as its EXIF orientation says. Transparent pixels are laid on white. Grey values of 16 bits are divided
    by 257 and rounded, so a camera of 12 bits has to write them over the full range of 16; colours of 16 bits lose
    their lower byte. Colour profiles are not applied.

    Args:
        source: the file, or its content.
        name: what messages call it.
        max_pixels: larger images are refused by their header, before they are decoded.

    Raises:
        DataError: it is no image of a known format, cut off or damaged, too large, has a side under 16 pixels, or its
            pixels are of a form without a clear meaning as colours, such as 32-bit floats.
    """
    with _opened(source, name) as (image, form):
        header = _header(image, form)
        _refuse_many_pixels(header, name, max_pixels)
        if min(header.width, header.height) < MIN_SIDE:
            msg = (
                f"{name}: the image has {header.width} x {header.height} pixels, but each side needs {MIN_SIDE} at "
                "least; replace it by a larger one or remove it"
            )
            raise DataError(msg)
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return _colours(image, name)


def decode_mask(path: Path, max_pixels: int, name: str | None = None) -> np.ndarray:
    """The pixels that a mask marks, bool (height, width): those that are not zero, whatever the form of the file.

    In JPEG files, which smear edges, those from 128 of 255 on. A transparent pixel is not marked.

    Raises:
        DataError: it cannot be decoded or has more than ``max_pixels``; the message calls it ``name``, if that is
            given, else by its path.
    """
    name = name or str(path)
    with _opened(path, name) as (image, form):
        _refuse_many_pixels(_header(image, form), name, max_pixels)
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        if form == "JPEG":
            return np.asarray(image.convert("L")) >= _RINGS_BELOW
        if image.mode in ("1", "L", "F") or image.mode.startswith("I"):
            return np.asarray(image) != 0
        shown = np.asarray(image.convert("RGBA"))
        return (shown[..., :3] != 0).any(axis=2) & (shown[..., 3] != 0)


def _header(image: ImageFile.ImageFile, form: str) -> Header:
    width, height = image.size
    # Pillow turns the size of a TIFF by itself; a PNG may keep its EXIF behind the pixels, where it is not looked for
    if form in ("JPEG", "WEBP") or (form == "PNG" and "exif" in image.info):
        turned = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
        width, height = (height, width) if turned else (width, height)
    return Header(width, height, image.mode, form)


def _refuse_many_pixels(header: Header, name: str, max_pixels: int) -> None:
    if header.width * header.height > max_pixels:
        msg = (
            f"{name}: the image has {header.width} x {header.height} pixels, more than imaging.max_pixels = "
            f"{max_pixels}; make it smaller, or state a higher limit in the catalogue"
        )
        raise DataError(msg)


def _colours(image: Image.Image, name: str) -> np.ndarray:
    if image.mode.startswith("I"):
        return _three(_eight_bits(np.asarray(image), name))
    if image.mode == "F":
        msg = f"{name}: the pixels are 32-bit floats, of which the full scale is unknown; save it with 8 or 16 bits"
        raise DataError(msg)
    if image.has_transparency_data:
        shown = image.convert("RGBA")
        return np.asarray(Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown))[..., :3].copy()
    if image.mode in ("1", "L"):
        return _three(np.asarray(image.convert("L")))
    return np.array(image.convert("RGB"))


def _three(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[:, :, None], 3, axis=2)


def _eight_bits(values: np.ndarray, name: str) -> np.ndarray:
    if values.dtype.itemsize > 2 and (values.min() < 0 or values.max() > 65535):
        msg = f"{name}: the pixels have 32 bits, of which the full scale is unknown; save it with 8 or 16 bits"
        raise DataError(msg)
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


@contextmanager
def _opened(source: Path | bytes, name: str) -> Iterator[tuple[ImageFile.ImageFile, str]]:
    """The image, of which only the header is read, and its format; whatever fails in the block is told."""
    try:
        with BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            head = file.read(_HEAD)
            file.seek(0)
            found = [(form, plugin) for start, form, plugin in _PLUGINS if start.match(head)]
            if not found:
                raise _no_image(name, head)
            form, plugin = found[0]
            with plugin(file) as image:
                yield image, form
    except DataError:
        raise
    except Image.DecompressionBombError as error:  # from the plugin of WEBP, whose decoder reserves memory at once
        msg = f"{name}: the image has more pixels than can be decoded; make it smaller"
        raise DataError(msg) from error
    except Exception as error:  # damaged files bring out anything from Pillow's plugins
        if isinstance(error, OSError) and error.errno is not None:
            msg = f"{name}: cannot be read ({error.strerror}); check that it is there and its permissions"
            raise DataError(msg) from error
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        msg = f"{name}: the image is cut off or damaged ({reason}); copy or save it again, or remove it"
        raise DataError(msg) from error


def _no_image(name: str, head: bytes) -> DataError:
    if not head:
        return DataError(f"{name}: the file is empty (0 bytes); save it again or remove it")
    return DataError(f"{name}: is no PNG, JPEG, BMP, TIFF or WEBP image; save it as one of these or remove it")
