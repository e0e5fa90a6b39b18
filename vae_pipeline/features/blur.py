"""A Gaussian blur of many maps at once."""

from functools import cache

import numpy as np

__all__ = ["blurred"]

_BLOCK = 32
"""Rows or columns of a product: smaller ones cost calls, larger ones multiply more zeros."""
_REACH = 4.0
"""Standard deviations after which the kernel is cut off, as scipy does."""


def blurred(maps: np.ndarray, deviation: float) -> np.ndarray:
    """Maps blurred over the last two axes, each mirrored at its ends, shape (..., height, width).

    `scipy.ndimage.gaussian_filter` written as products with the band of the blurring matrix that is not zero, which
    take a fraction of the filter's time.

    Args:
        maps: floating point numbers, shape (..., height, width).
        deviation: of the Gaussian in pixels; nothing is blurred from 0 down.
    """
    if deviation <= 0:
        return maps
    height, width = maps.shape[-2:]
    reach = int(_REACH * deviation + 0.5)
    down, across = (_matrix(size, deviation, maps.dtype) for size in (height, width))
    lines = np.empty(maps.shape, maps.dtype)
    for rows, near in _blocks(height, reach):
        np.matmul(down[rows, near], maps[..., near, :], out=lines[..., rows, :])
    found = np.empty(maps.shape, maps.dtype)
    flat, into = lines.reshape(-1, width), found.reshape(-1, width)
    for columns, near in _blocks(width, reach):
        np.matmul(flat[:, near], across[columns, near].T, out=into[:, columns])
    return found


def _blocks(size: int, reach: int) -> list[tuple[slice, slice]]:
    """Places of a line block by block, and those around that they are made of."""
    starts = range(0, size, _BLOCK)
    return [(slice(first, first + _BLOCK), slice(max(0, first - reach), first + _BLOCK + reach)) for first in starts]


@cache
def _matrix(size: int, deviation: float, dtype: np.dtype) -> np.ndarray:
    """The matrix that blurs a line of so many pixels."""
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(np.eye(size), deviation, axis=0, truncate=_REACH).astype(dtype)
