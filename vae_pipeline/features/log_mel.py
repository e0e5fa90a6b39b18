"""Log-mel frames of a recording: the loudness of mel bands over time, equal to librosa's."""

from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from vae_pipeline.errors import CatalogError, DataError
from vae_pipeline.records import Sound

__all__ = ["band_frequencies", "log_mel", "mel_filterbank"]

FLOOR = 1e-10  # least power of a band: -100 dB
_VALUES = 1 << 19  # samples transformed at once: 4 MiB

# Slaney's Auditory Toolbox (1998): linear up to 1 kHz, logarithmic above
_HERTZ_PER_MEL = 200.0 / 3.0
_BREAK_HERTZ = 1000.0
_BREAK_MEL = _BREAK_HERTZ / _HERTZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27.0


@lru_cache(maxsize=8)
def mel_filterbank(rate: int, segment: int, bands: int) -> np.ndarray:
    """Weights from the power at the frequencies of a segment to mel bands, shape (bands, segment // 2 + 1), float64.

    Triangles between neighbouring centres on Slaney's scale from 0 to rate / 2, each of unit area (librosa's
    defaults ``htk=False, norm="slaney"``). The array is shared and read-only.

    Raises:
        CatalogError: there are so many bands that one holds no frequency of the segment.
    """
    frequencies = np.fft.rfftfreq(segment, 1.0 / rate)
    edges = _edges(rate, bands)
    rising = (frequencies - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - frequencies) / np.diff(edges)[1:, None]
    weights = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (edges[2:] - edges[:-2]))[:, None]
    empty = np.flatnonzero(weights.max(axis=1) == 0)
    if len(empty):
        msg = (
            f"sound: mel band {empty[0]} of bands={bands} holds no frequency of a segment of {segment} samples at "
            f"{rate} a second; state fewer bands or a longer segment"
        )
        raise CatalogError(msg)
    weights.flags.writeable = False
    return weights


def band_frequencies(rate: int, bands: int) -> np.ndarray:
    """Centre of each mel band in Hz, shape (bands,), float64."""
    return _edges(rate, bands)[1:-1]


def log_mel(clip: np.ndarray, sound: Sound) -> np.ndarray:
    """Power of the mel bands in dB, shape (1 + samples // hop, bands), float32, never below -100.

    Frame t is centred at sample t * hop, under a periodic Hann taper, with zeros before and after the clip: the
    transpose of ``10 log10(max(librosa.feature.melspectrogram(power=2), 1e-10))``. (With an odd segment the last frame
    may be missing.) Some frames are transformed at a time: memory grows with the result alone.

    Args:
        clip: shape (samples,), full scale 1.
        sound: rate, segment, hop and bands.

    Raises:
        DataError: the clip is empty or not one-dimensional.
        CatalogError: the segment is too short for so many bands.
    """
    if clip.ndim != 1 or not clip.size:
        msg = f"log-mel: a clip of shape {clip.shape} was given; give the samples of one channel, at least one"
        raise DataError(msg)
    weights = mel_filterbank(sound.rate, sound.segment, sound.bands).T
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(sound.segment) / sound.segment)
    before = sound.segment // 2
    frames = 1 + (clip.size + 2 * before - sound.segment) // sound.hop
    levels = np.empty((frames, sound.bands), dtype=np.float32)
    some = max(1, _VALUES // sound.segment)
    for first in range(0, frames, some):
        stop = min(first + some, frames)
        samples = _stretch(clip, first * sound.hop - before, (stop - 1) * sound.hop - before + sound.segment)
        pieces = sliding_window_view(samples, sound.segment)[:: sound.hop]
        spectrum = np.fft.rfft(pieces * taper, axis=-1)
        power = spectrum.real**2 + spectrum.imag**2
        levels[first:stop] = 10.0 * np.log10(np.maximum(power @ weights, FLOOR))
    return levels


def _edges(rate: int, bands: int) -> np.ndarray:
    """Lower edge, centres and upper edge of the bands in Hz, shape (bands + 2,)."""
    top = rate / 2.0
    top_mel = top / _HERTZ_PER_MEL
    if top >= _BREAK_HERTZ:
        top_mel = _BREAK_MEL + np.log(top / _BREAK_HERTZ) / _LOG_STEP
    mel = np.linspace(0.0, top_mel, bands + 2)
    above = _BREAK_HERTZ * np.exp(_LOG_STEP * np.maximum(0.0, mel - _BREAK_MEL))
    return np.where(mel >= _BREAK_MEL, above, mel * _HERTZ_PER_MEL)


def _stretch(clip: np.ndarray, start: int, stop: int) -> np.ndarray:
    """``clip[start:stop]`` in float64, with zeros where that reaches beyond the clip."""
    inside = clip[max(0, start) : stop].astype(np.float64)
    return np.pad(inside, (max(0, -start), max(0, stop - clip.size)))
