"""Small wav recordings of a humming machine, in the folders of MIMII."""

from pathlib import Path

import numpy as np
import soundfile


def write_recordings(
    folder: Path,
    *,
    normal: int = 8,
    abnormal: int = 4,
    seconds: float = 0.5,
    rate: int = 16_000,
    channels: int = 1,
    subtype: str = "PCM_16",
    format: str = "WAV",
    seed: int = 0,
) -> Path:
    """Write ``normal/00000000.wav`` and on, and ``abnormal/`` likewise, into ``folder``; a class of none has no folder.

    A normal clip is a hum with noise; an abnormal one whistles at 3 kHz (or a third of the rate) as well. Channels
    beyond the first hold noise alone.
    """
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    for name, clips in (("normal", normal), ("abnormal", abnormal)):
        for number in range(clips):
            clip = 0.02 * random.standard_normal((time.size, channels))
            clip[:, 0] += random.uniform(0.08, 0.12) * np.sin(2 * np.pi * (120.0 * time + random.random()))
            if name == "abnormal":
                clip[:, 0] += random.uniform(0.03, 0.06) * np.sin(2 * np.pi * min(3000.0, rate / 3) * time)
            write_clip(folder / name / f"{number:08d}.wav", clip, rate=rate, subtype=subtype, format=format)
    return folder


def write_clip(
    path: Path,
    clip: np.ndarray,
    *,
    rate: int = 16_000,
    subtype: str = "PCM_16",
    format: str = "WAV",
) -> Path:
    """Write one clip, shape (samples,) or (samples, channels), and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        soundfile.write(file, clip, rate, subtype=subtype, format=format)
    return path
