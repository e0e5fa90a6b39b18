"""Statistics of a window per channel: moments, energies of frequency bands, energies of wavelet levels."""

from collections.abc import Sequence

import numpy as np
import pywt

__all__ = ["STATISTICS", "band_energies", "statistic_names", "wavelet_energies", "window_statistics"]

BANDS = 4
LEVELS = 3
WAVELET = "db2"

STATISTICS: tuple[str, ...] = (
    "mean",
    "std",
    "skew",
    "kurtosis",
    "rms",
    "peak_to_peak",
    "crest_factor",
    *(f"band_{number}" for number in range(1, BANDS + 1)),
    "wavelet_approximation",
    *(f"wavelet_detail_{level}" for level in range(LEVELS, 0, -1)),
)


def statistic_names(sensors: Sequence[str]) -> list[str]:
    """Names of the columns of ``window_statistics``: ``<sensor>_<statistic>``, all statistics of a sensor together."""
    return [f"{sensor}_{statistic}" for sensor in sensors for statistic in STATISTICS]


def window_statistics(windows: np.ndarray) -> np.ndarray:
    """All statistics of each window, shape (n, channels * len(STATISTICS)), float32, in order of ``statistic_names``.

    Standard deviation, skew and (excess) kurtosis are the biased moments; crest factor is the largest absolute value
    over the rms. A constant window has skew, kurtosis and crest factor 0.

    Args:
        windows: shape (n, channels, time).
    """
    values = np.asarray(windows, dtype=np.float64)
    mean = values.mean(axis=-1)
    peak_to_peak = np.ptp(values, axis=-1)
    varies = peak_to_peak > 0
    deviation = np.where(varies[..., None], values - mean[..., None], 0.0)
    # Moments of deviations that reach 1 at most: neither tiny nor huge windows under- or overflow their powers.
    scale = np.where(varies, np.abs(deviation).max(axis=-1), 1.0)
    unit = deviation / scale[..., None]
    square = unit * unit  # products: general powers are ten times slower
    second = np.where(varies, square.mean(axis=-1), 1.0)
    rms = np.sqrt((values**2).mean(axis=-1))
    largest = np.abs(values).max(axis=-1)
    columns = [
        mean,
        np.where(varies, scale * np.sqrt(second), 0.0),
        (square * unit).mean(axis=-1) / second**1.5,
        np.where(varies, (square * square).mean(axis=-1) / second**2 - 3.0, 0.0),
        rms,
        peak_to_peak,
        np.where(varies & (rms > 0), largest / np.where(rms > 0, rms, 1.0), 0.0),
    ]
    stacked = np.concatenate(
        [np.stack(columns, axis=-1), band_energies(deviation), wavelet_energies(deviation)], axis=-1
    )
    return stacked.reshape(len(values), -1).astype(np.float32)


def band_energies(windows: np.ndarray) -> np.ndarray:
    """Energy in four bands of equal width from the lowest frequency to half the sampling rate, without the mean.

    By Parseval's theorem their sum is the mean square of the deviations from the mean. A window too short to have
    four frequencies leaves the upper bands 0.

    Args:
        windows: shape (n, channels, time).

    Returns:
        shape (n, channels, 4), float64.
    """
    time = windows.shape[-1]
    power = np.abs(np.fft.rfft(windows, axis=-1)) ** 2 / time**2
    # Every frequency but the mean and, for an even length, the highest stands for its negative twin as well.
    power[..., 1 : (time + 1) // 2] *= 2.0
    bins = np.array_split(np.arange(1, power.shape[-1]), BANDS)
    return np.stack([power[..., band].sum(axis=-1) for band in bins], axis=-1)


def wavelet_energies(windows: np.ndarray) -> np.ndarray:
    """Energy of the wavelet levels (Daubechies 2, periodised), coarse to fine, divided by the number of samples.

    Three levels, or as many as fit the length; levels that do not fit are 0. The transform is orthogonal: where the
    length divides by 8 the energies sum to the mean square of the window.

    Args:
        windows: shape (n, channels, time).

    Returns:
        shape (n, channels, 4), float64: approximation, detail 3, 2, 1.
    """
    time = windows.shape[-1]
    level = min(LEVELS, pywt.dwt_max_level(time, WAVELET))
    energies = np.zeros((*windows.shape[:-1], LEVELS + 1))
    coefficients = pywt.wavedec(windows, WAVELET, mode="periodization", level=level, axis=-1)
    energies[..., 0] = (coefficients[0] ** 2).sum(axis=-1) / time
    for offset, detail in enumerate(coefficients[1:]):
        energies[..., LEVELS + 1 - level + offset] = (detail**2).sum(axis=-1) / time
    return energies
