import tracemalloc
import warnings

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_pipeline.errors import CatalogError, DataError
from vae_pipeline.features import log_mel as module
from vae_pipeline.features.log_mel import band_frequencies, log_mel, mel_filterbank
from vae_pipeline.records import Sound

FORMS = [
    Sound(),
    Sound(bands=128),
    Sound(rate=44_100, segment=2048, hop=300),
    Sound(rate=8000, segment=256, hop=400, bands=20),
    Sound(rate=1500, segment=255, hop=64, bands=12),
]


def noise(size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 0.1, size).astype(np.float32)


def machine(size: int, rate: int) -> np.ndarray:
    """Harmonics, coloured noise and a click: a range of some 80 dB over the bands."""
    time = np.arange(size) / rate
    clip = np.cumsum(noise(size)) * 1e-3 + 0.05 * np.sin(2 * np.pi * 50 * time) + 0.01 * np.sin(2 * np.pi * 350 * time)
    clip[size // 2 : size // 2 + 3] += 0.3
    return clip.astype(np.float32)


def oracle(clip: np.ndarray, sound: Sound) -> np.ndarray:
    """Power of the bands by librosa, (frames, bands); in float64, as its float32 leaks into quiet bands."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="n_fft=")
        return librosa.feature.melspectrogram(
            y=clip.astype(np.float64),
            sr=sound.rate,
            n_fft=sound.segment,
            hop_length=sound.hop,
            n_mels=sound.bands,
            power=2.0,
        ).T


def assert_equal(clip: np.ndarray, sound: Sound) -> None:
    found, expected = log_mel(clip, sound), np.maximum(oracle(clip, sound), 1e-10)
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    np.testing.assert_allclose(10.0 ** (found.astype(np.float64) / 10.0), expected, rtol=1e-4)
    np.testing.assert_allclose(found, 10.0 * np.log10(expected), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sound", FORMS, ids=str)
@pytest.mark.parametrize("signal", ["noise", "machine", "silence", "impulse"])
def test_equal_to_librosa(sound, signal):
    size = 2 * sound.rate + 17
    clip = {
        "noise": noise(size),
        "machine": machine(size, sound.rate),
        "silence": np.zeros(size, dtype=np.float32),
        "impulse": np.eye(1, size, 1000, dtype=np.float32)[0],
    }[signal]
    assert_equal(clip, sound)


@settings(max_examples=100)
@given(
    size=st.integers(1, 1500),
    segment=st.integers(32, 300),
    hop=st.integers(1, 400),
    bands=st.integers(4, 6),
    seed=st.integers(0, 9),
)
def test_equal_to_librosa_at_any_length(size, segment, hop, bands, seed):
    assert_equal(noise(size, seed), Sound(segment=segment, hop=hop, bands=bands))


def test_equal_to_librosa_in_single_precision():
    clip = noise(16_000)
    theirs = librosa.feature.melspectrogram(y=clip, sr=16_000, n_fft=1024, hop_length=512, n_mels=64, power=2.0).T
    np.testing.assert_allclose(10.0 ** (log_mel(clip, Sound()).astype(np.float64) / 10.0), theirs, rtol=1e-4)


@pytest.mark.parametrize("sound", FORMS, ids=str)
def test_filterbank_is_that_of_librosa(sound):
    found = mel_filterbank(sound.rate, sound.segment, sound.bands)
    theirs = librosa.filters.mel(sr=sound.rate, n_fft=sound.segment, n_mels=sound.bands)
    assert found.shape == (sound.bands, sound.segment // 2 + 1)
    np.testing.assert_allclose(found, theirs, rtol=1e-4, atol=1e-6 * theirs.max())
    centres = librosa.mel_frequencies(sound.bands + 2, fmin=0.0, fmax=sound.rate / 2)[1:-1]
    np.testing.assert_allclose(band_frequencies(sound.rate, sound.bands), centres, rtol=1e-9)


def test_a_tone_is_loudest_in_the_band_around_it():
    sound = Sound()
    centres = band_frequencies(sound.rate, sound.bands)
    for band in (5, 30, 60):
        tone = np.sin(2 * np.pi * centres[band] * np.arange(16_000) / sound.rate)
        assert set(log_mel(tone, sound)[2:-2].argmax(axis=1)) == {band}


def test_pieces_that_are_transformed_together_do_not_show(monkeypatch):
    sound = Sound(segment=256, hop=100, bands=16)
    whole = log_mel(noise(20_000), sound)
    monkeypatch.setattr(module, "_VALUES", 3 * sound.segment)
    found = log_mel(noise(20_000), sound)
    assert found.shape == whole.shape
    np.testing.assert_allclose(found, whole, rtol=1e-6)


def test_memory_does_not_grow_with_the_spectrum():
    clip = noise(16_000 * 200)
    log_mel(clip[:1000], Sound())
    tracemalloc.start()
    found = log_mel(clip, Sound())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # all frames at once would take 51 MB of segments and as much of spectra
    assert peak < found.nbytes + 25e6


def test_a_clip_that_holds_nothing_is_refused():
    with pytest.raises(DataError, match=r"shape \(0,\)"):
        log_mel(np.zeros(0, dtype=np.float32), Sound())
    with pytest.raises(DataError, match=r"shape \(8, 2\)"):
        log_mel(np.zeros((8, 2), dtype=np.float32), Sound())


def test_more_bands_than_the_segment_can_tell_apart_are_refused():
    with pytest.raises(CatalogError, match=r"bands=64 .* 64 samples at 16000"):
        log_mel(noise(500), Sound(segment=64, bands=64))


def test_the_shared_filterbank_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        mel_filterbank(16_000, 1024, 64)[0, 0] = 1.0
