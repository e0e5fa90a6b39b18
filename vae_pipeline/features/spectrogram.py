"""How the frequencies of a window change over its time."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from vae_pipeline.errors import DataError

__all__ = ["spectrogram"]


def spectrogram(windows: np.ndarray, segment: int, hop: int) -> np.ndarray:
    """Power of short overlapping pieces of each window, one-sided, under a periodic Hann taper.

    The scale is that of ``scipy.signal.spectrogram(detrend=False, scaling="spectrum")``: a sine of amplitude a shows
    a²/2 at its frequency.

    Args:
        windows: shape (n, channels, time).
        segment: rows in a piece.
        hop: rows from one piece to the next.

    Returns:
        shape (n, channels, segment // 2 + 1, (time - segment) // hop + 1), float64; frequency index k is k / segment
        cycles per row.

    Raises:
        DataError: the pieces are longer than the window, or segment or hop is not positive.
    """
    time = windows.shape[-1]
    if not 1 <= segment <= time or hop < 1:
        msg = (
            f"spectrogram: segment={segment}, hop={hop} do not fit windows of {time} rows; take 1 <= segment <= {time}"
        )
        raise DataError(msg)
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(segment) / segment) if segment > 1 else np.ones(1)
    pieces = sliding_window_view(np.asarray(windows, dtype=np.float64), segment, axis=-1)[..., ::hop, :]
    power = np.abs(np.fft.rfft(pieces * taper, axis=-1)) ** 2 / taper.sum() ** 2
    power[..., 1 : (segment + 1) // 2] *= 2.0
    return np.ascontiguousarray(np.swapaxes(power, -1, -2))
