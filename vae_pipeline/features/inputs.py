"""Means of a sample's inputs in the units they came in: what the prediction log keeps, and what a reference keeps."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from vae_pipeline.features.scaling import RegimeScaler

__all__ = ["colour_means", "frame_means", "known_means", "window_means"]

_WINDOWS = 8192


def window_means(column: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """Mean of one input over each window, shape (n_windows,), nan where nothing of a window is known.

    Window by window: running sums would carry the rounding of one broken reading into all windows behind it.

    Args:
        column: the input in raw units, shape (n_rows,); what is not finite is left out.
        starts: first row of each window, shape (n_windows,).
        length: rows in a window.
    """
    rows = np.asarray(column, dtype=np.float64)
    if not len(starts):
        return np.empty(0)
    view = sliding_window_view(rows, length)
    return np.concatenate(
        [known_means(view[starts[first : first + _WINDOWS]], axis=1) for first in range(0, len(starts), _WINDOWS)]
    )


def known_means(values: np.ndarray, axis: int) -> np.ndarray:
    """Means over an axis of what is finite, nan where nothing is."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0.0).sum(axis=axis) / known.sum(axis=axis)


def frame_means(rows: np.ndarray, scaler: RegimeScaler) -> np.ndarray:
    """Mean level of each mel band over a recording's scaled frames (n, bands), in decibels as they came, (bands,)."""
    return rows.mean(axis=0) * scaler.sd[0] + scaler.mean[0]


def colour_means(images: np.ndarray) -> np.ndarray:
    """Mean of each colour over the pixels of images, uint8 (…, size, size, 3), shape (…, 3)."""
    # rows first, as whole lines of memory: a mean over both axes at once takes twenty times as long
    return images.sum(axis=-3, dtype=np.uint32).sum(axis=-2, dtype=np.uint64) / (images.shape[-3] * images.shape[-2])
