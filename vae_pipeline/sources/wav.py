"""Open a wav file, whoever wrote it, and say in one sentence why one cannot be read. Light: a service loads it too."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
import soundfile

from vae_pipeline.errors import DataError

__all__ = ["blocks", "open_wav", "require_channel"]

_FORMATS = ("WAV", "WAVEX", "RF64")
_BLOCK = 1 << 19  # values read at once, over all channels: 2 MiB
_OPEN_ENDED = 0x7FFF0000  # sizes that programs write into the head when they cannot come back to correct it
_CUT = re.compile(
    r"^data : (?P<stated>\d+) \(should be (?P<held>\d+)\)"
    r"|Calculated frame count (?P<frames>\d+) does not match value from 'ds64' chunk of (?P<stated_frames>\d+)",
    re.MULTILINE,
)


@contextmanager
def open_wav(file: BinaryIO, name: str) -> Iterator[soundfile.SoundFile]:
    """The open sound file; ``name`` is what messages call it.

    Raises:
        DataError: the file is empty, no wav, of an unknown encoding, cut off or without a sample, or what the block
            reads of it turns out damaged.
    """
    if not file.read(1):
        msg = f"{name}: the file is empty (0 bytes); record it again or remove it"
        raise DataError(msg)
    file.seek(0)
    try:
        with soundfile.SoundFile(file) as sound:
            _refuse(sound, name)
            yield sound
    except soundfile.LibsndfileError as error:
        reason = error.error_string.strip().rstrip(".")
        msg = f"{name}: cannot be read as a wav file ({reason}); write it again as PCM or remove it"
        raise DataError(msg) from error


def blocks(sound: soundfile.SoundFile) -> Iterator[np.ndarray]:
    """All samples in order, in arrays (at most some MiB) of shape (samples, channels), float32, full scale 1."""
    while len(block := sound.read(max(1, _BLOCK // sound.channels), dtype="float32", always_2d=True)):
        yield block


def require_channel(sound: soundfile.SoundFile, channel: int, name: str) -> None:
    """Refuse a file without the channel that is used, counted from 0.

    Raises:
        DataError: it has fewer channels.
    """
    if channel >= sound.channels:
        msg = (
            f"{name}: has no channel {channel} (counted from 0) among its {sound.channels}; "
            "state another sound.channel in the catalogue, or remove the file"
        )
        raise DataError(msg)


def _refuse(sound: soundfile.SoundFile, name: str) -> None:
    if sound.format not in _FORMATS:
        msg = f"{name}: is a {sound.format} file and no wav; convert it to wav"
        raise DataError(msg)
    # libsndfile reads what is left of a file that was cut off, and tells of it only in its log
    for found in _CUT.finditer(sound.extra_info):
        stated, held = (int(text) for text in found.groups() if text is not None)
        if found["frames"]:
            stated, held = held, stated
        if held < stated and (found["frames"] or stated < _OPEN_ENDED):
            share = f"{held} of {stated} {'samples' if found['frames'] else 'bytes'} of sound are there"
            msg = f"{name}: the file is cut off ({share}); copy it again or remove it"
            raise DataError(msg)
    if sound.frames == 0:
        msg = f"{name}: holds no samples; record it again or remove it"
        raise DataError(msg)
