"""What can be wrong with recordings: each case spoils the good fans in one way and says what a person is told."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from vae_pipeline_tests.builders.recordings import write_clip
from vae_pipeline_tests.endurance.cases import Case
from vae_pipeline_tests.endurance.image_cases import copied, cut, removed, written
from vae_pipeline_tests.endurance.media_plant import write_media_catalog

__all__ = ["HANDLED_SOUNDS", "SOUNDS"]

CLIP = "fans/normal/00000003.wav"
ODD = "fans/abnormal/00000001.wav"


def rewritten(
    change: Callable[[np.ndarray], np.ndarray] = lambda clip: clip,
    pattern: str = CLIP,
    *,
    rate: int = 16_000,
    subtype: str = "PCM_16",
    format: str = "WAV",
) -> Callable[[Path], object]:
    """Write clips again: their samples (n,) changed, or the same in another form."""

    def spoil(plant: Path) -> None:
        for path in plant.glob(pattern):
            clip, _ = soundfile.read(path)
            write_clip(path, change(clip), rate=rate, subtype=subtype, format=format)

    return spoil


def _with_nan(clip: np.ndarray) -> np.ndarray:
    return np.where(np.arange(len(clip)) % 1000 == 7, np.nan, clip)


def _eight(clip: np.ndarray) -> np.ndarray:
    return np.repeat(clip[:, None], 8, axis=1)


SOUNDS = tuple(
    Case(what, spoil, told, "fans")
    for what, spoil, told in (
        (
            "a clip holds values that are no numbers",
            rewritten(_with_nan, subtype="FLOAT"),
            r"normal/00000003\.wav holds 8 values that are not finite",
        ),
        ("a wav file is empty", written(CLIP, b""), r"normal/00000003\.wav: the file is empty"),
        ("a wav file without a sample", rewritten(lambda clip: clip[:0]), r"normal/00000003\.wav: holds no samples"),
        ("a wav file is cut off", cut(CLIP), r"normal/00000003\.wav: the file is cut off"),
        (
            "a FLAC file named wav",
            rewritten(format="FLAC"),
            r"normal/00000003\.wav: is a FLAC file and no wav",
        ),
        (
            "44.1 kHz among 16 kHz",
            rewritten(lambda clip: np.resize(clip, 22_050), rate=44_100),
            r"normal/00000003\.wav has 44100 samples a second where 16000",
        ),
        ("a normal clip is silent", rewritten(lambda clip: 0.0 * clip), r"normal/00000003\.wav is a normal .* silent"),
        (
            "a clip is overdriven",
            rewritten(lambda clip: np.clip(100.0 * clip, -1.0, 1.0)),
            r"normal/00000003\.wav is at full scale in",
        ),
        (
            "clips are too short",
            rewritten(lambda clip: clip[:2000], "fans/*/*.wav"),
            r"abnormal/00000000\.wav lasts 0\.125 s, which is 4 frames where a window needs 8",
        ),
        (
            "a channel that clips do not have",
            lambda plant: write_media_catalog(plant, fans={"sound": {"bands": 16, "channel": 3}}),
            r"to use: channels_suffice fails in train: abnormal/00000000\.wav has 1 channel, so none numbered 3",
        ),
        (
            "a clip is both normal and abnormal",
            copied(CLIP, "fans/abnormal/copy.wav"),
            r"normal/00000003\.wav and abnormal/copy\.wav are the same file",
        ),
        ("too few clips", removed("fans/normal/0000000[3-9].wav"), r"only 3 normal clips"),
        (
            "classes go by other names",
            lambda plant: [
                (plant / "fans" / name).rename(plant / "fans" / other)
                for name, other in (("normal", "good"), ("abnormal", "defect"))
            ],
            r"fans/defect/00000000\.wav: the folders tell clips apart",
        ),
        ("a folder without recordings", removed("fans/*"), r"plant/fans: holds no wav file"),
    )
)
"""Refused; the pattern names the file, folder or setting."""

HANDLED_SOUNDS = tuple(
    Case(what, spoil, told, "fans")
    for what, spoil, told in (
        ("a clip of 24 bits", rewritten(subtype="PCM_24"), r"only 8 normal clips"),
        (
            "WAVE_FORMAT_EXTENSIBLE with 8 channels",
            rewritten(_eight, "fans/*/*.wav", format="WAVEX"),
            r"only 8 normal clips",
        ),
        ("an abnormal clip is silent", rewritten(lambda clip: 0.0 * clip, ODD), r"abnormal/00000001\.wav is silent"),
        (
            "a clip is shorter than the others",
            rewritten(lambda clip: clip[:6000]),
            r"normal/00000003\.wav lasts 0\.375 s where the median training clip lasts 0\.5 s",
        ),
    )
)
"""The run goes on; the pattern is what is told while it does."""
