import io
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from vae_pipeline.errors import DataError
from vae_pipeline.features.clips import decode_clip, read_clip
from vae_pipeline.records import Sound
from vae_pipeline.sources import wav
from vae_pipeline_tests.builders.recordings import write_clip


def ramp(samples: int = 400, channels: int = 3) -> np.ndarray:
    """Values that 16 bits hold exactly and that tell channel and sample apart."""
    return ((np.arange(samples)[:, None] - 200) * 32 + np.arange(channels)) / 32768.0


@pytest.mark.parametrize(
    ("format", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("WAVEX", "PCM_16"),
        ("WAV", "PCM_24"),
        ("WAV", "FLOAT"),
        ("WAVEX", "DOUBLE"),
        ("RF64", "PCM_32"),
    ],
)
@pytest.mark.parametrize("channel", [0, 2])
def test_the_channel_in_use_comes_back_exactly(tmp_path, format, subtype, channel):
    path = write_clip(tmp_path / "a.wav", ramp(), format=format, subtype=subtype)
    clip = read_clip(path, Sound(channel=channel))
    assert clip.dtype == np.float32
    np.testing.assert_array_equal(clip, ramp()[:, channel].astype(np.float32))
    np.testing.assert_array_equal(decode_clip(path.read_bytes(), "a", Sound(channel=channel)), clip)


def test_eight_channels_of_wave_format_extensible(tmp_path):
    path = write_clip(tmp_path / "a.wav", ramp(channels=8), format="WAVEX")
    assert path.read_bytes()[20:22] == b"\xfe\xff"
    np.testing.assert_array_equal(read_clip(path, Sound(channel=7)), ramp(channels=8)[:, 7].astype(np.float32))


def test_a_clip_longer_than_a_block(tmp_path, monkeypatch):
    monkeypatch.setattr(wav, "_BLOCK", 3 * 64)
    path = write_clip(tmp_path / "a.wav", ramp(1000))
    np.testing.assert_array_equal(read_clip(path, Sound(channel=1)), ramp(1000)[:, 1].astype(np.float32))


def test_a_stream_of_unstated_length_is_read(tmp_path):
    content = bytearray(write_clip(tmp_path / "a.wav", ramp(channels=1)).read_bytes())
    size = content.index(b"data") + 4
    content[4:8] = content[size : size + 4] = b"\xff\xff\xff\xff"
    np.testing.assert_array_equal(decode_clip(bytes(content), "a", Sound()), ramp(channels=1)[:, 0].astype(np.float32))


def spoilt(name: str) -> bytes:
    """The content of a file nobody can use."""

    def written(clip: np.ndarray, rate: int = 16_000, subtype: str = "PCM_16", format: str = "WAV") -> bytes:
        file = io.BytesIO()
        soundfile.write(file, clip, rate, subtype=subtype, format=format)
        return file.getvalue()

    good = written(ramp())
    hole = ramp().astype(np.float32)
    hole[[17, 30], 0] = np.nan, np.inf
    huge = ramp()
    huge[5, 0] = 1e300
    return {
        "zero": b"",
        "text": b"not a sound at all, but long enough for a header of a file",
        "head": good[:30],
        "headless": good[:44],
        "cut": good[: len(good) // 2],
        "cut_rf64": written(ramp(), format="RF64")[:1000],
        "flac": written(ramp(), format="FLAC"),
        "no_samples": written(np.zeros((0, 1))),
        "rate": written(ramp(), rate=44_100),
        "hole": written(hole, subtype="FLOAT"),
        "huge": written(huge, subtype="DOUBLE"),
    }[name]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("zero", r"is empty \(0 bytes\)"),
        ("text", "cannot be read as a wav file"),
        ("head", "cannot be read as a wav file"),
        ("headless", "cut off"),
        ("cut", r"cut off \(1178 of 2400 bytes"),
        ("cut_rf64", "cut off"),
        ("flac", "is a FLAC file and no wav"),
        ("no_samples", "holds no samples"),
        ("rate", "has 44100 samples a second where 16000 are expected"),
        ("hole", "2 samples are not finite, the first is number 17"),
        ("huge", "1 samples are not finite"),
    ],
)
def test_a_file_nobody_can_use_is_refused_by_name(tmp_path, name, reason):
    path = tmp_path / f"{name}.wav"
    path.write_bytes(spoilt(name))
    with pytest.raises(DataError, match=reason) as told:
        read_clip(path, Sound())
    assert str(told.value).startswith(f"{path}: ")
    assert "\n" not in str(told.value)
    with pytest.raises(DataError, match=reason) as told:
        decode_clip(path.read_bytes(), "clip 3 of the request", Sound())
    assert str(told.value).startswith("clip 3 of the request: ")


def test_a_missing_channel_is_refused(tmp_path):
    path = write_clip(tmp_path / "a.wav", ramp(channels=2))
    with pytest.raises(DataError, match=r"a\.wav: has no channel 2 \(counted from 0\) among its 2"):
        read_clip(path, Sound(channel=2))


def test_values_that_are_not_finite_in_another_channel_do_not_matter(tmp_path):
    clip = ramp().astype(np.float32)
    clip[3, 1] = np.nan
    path = write_clip(tmp_path / "a.wav", clip, subtype="FLOAT")
    assert np.isfinite(read_clip(path, Sound(channel=0))).all()


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"a\.wav: cannot be opened"):
        read_clip(tmp_path / "a.wav", Sound())


def test_only_light_libraries_are_needed_to_read_a_clip():
    code = "import sys, vae_pipeline.features.clips; print(*{'pandas', 'scipy', 'torch'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []
