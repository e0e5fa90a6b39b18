"""Images in the one form that everything behind works on: uint8 (height, width, 3); NumPy and Pillow only."""

import numpy as np
from PIL import Image

from vae_pipeline.sources.decoding import MIN_SIDE, Header, decode_mask, decode_picture, read_header

__all__ = ["MIN_SIDE", "Header", "decode_mask", "decode_picture", "read_header", "resized"]

_REDUCED_TO = 3.0  # of the wanted size, by whole-number averages, before the filter takes over


def resized(picture: np.ndarray, size: int) -> np.ndarray:
    """The picture, uint8 (height, width, 3), as uint8 (size, size, 3), squeezed where it was not square.

    Details finer than the new pixels are averaged and leave no moiré: a bicubic filter over its full width, after
    averages of whole blocks where the picture is more than three times larger.
    """
    if picture.shape[:2] == (size, size):
        return picture.copy()
    image = Image.fromarray(np.ascontiguousarray(picture))
    return np.array(image.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=_REDUCED_TO))
