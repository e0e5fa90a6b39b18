"""One recording as the samples of the channel in use, from a file or from bytes."""

import io
from pathlib import Path
from typing import BinaryIO

import numpy as np

from vae_pipeline.errors import DataError
from vae_pipeline.records import Sound
from vae_pipeline.sources.wav import blocks, open_wav, require_channel

__all__ = ["decode_clip", "read_clip"]


def read_clip(path: Path, sound: Sound) -> np.ndarray:
    """Samples of the channel ``sound.channel``, shape (samples,), float32, full scale 1.

    Only that channel is kept in memory.

    Raises:
        DataError: the file is missing or cannot be read as a wav, has another rate, fewer channels or no samples, or
            the channel holds a value that is not finite; the message names the file.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        msg = f"{path}: cannot be opened ({error.strerror}); check the path and its permissions"
        raise DataError(msg) from error
    with file:
        return _samples(file, str(path), sound)


def decode_clip(data: bytes, name: str, sound: Sound) -> np.ndarray:
    """`read_clip` of a wav file's content; ``name`` is what messages call it."""
    return _samples(io.BytesIO(data), name, sound)


def _samples(file: BinaryIO, name: str, sound: Sound) -> np.ndarray:
    with open_wav(file, name) as wav:
        if wav.samplerate != sound.rate:
            msg = (
                f"{name}: has {wav.samplerate} samples a second where {sound.rate} are expected; "
                f"resample it, or state its rate as sound.rate in the catalogue"
            )
            raise DataError(msg)
        require_channel(wav, sound.channel, name)
        clip = np.concatenate([block[:, sound.channel] for block in blocks(wav)])
    broken = np.flatnonzero(~np.isfinite(clip))
    if len(broken):
        msg = (
            f"{name}: {len(broken)} samples are not finite, the first is number {broken[0]}; repair or remove the file"
        )
        raise DataError(msg)
    return clip
