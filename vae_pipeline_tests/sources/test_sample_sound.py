import numpy as np
import pytest
import soundfile

from vae_pipeline.errors import CatalogError
from vae_pipeline.features.clips import read_clip
from vae_pipeline.features.log_mel import log_mel
from vae_pipeline.records import Sound
from vae_pipeline.sources.recordings import find_recordings, read_recordings
from vae_pipeline.sources.sample_sound import RATE, generate
from vae_pipeline_tests.builders.cmapss import entry

SIZE = {"normal": 3, "abnormal": 4, "seconds": 1, "seed": 7}


def sample(**generator):
    return entry(name="sample_machine_sound", kind="sample_machine_sound", generator={**SIZE, **generator})


def content(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.wav")}


def test_layout_and_format_are_those_of_mimii(tmp_path):
    root = generate(sample(), tmp_path / "out")
    assert sorted(content(root)) == sorted(
        [f"fan/id_00/normal/{number:08d}.wav" for number in range(3)]
        + [f"fan/id_00/abnormal/{number:08d}.wav" for number in range(4)]
    )
    for name, data in content(root).items():
        assert data[20:22] == b"\xfe\xff", name  # WAVE_FORMAT_EXTENSIBLE
        info = soundfile.info(root / name)
        assert (info.format, info.subtype, info.channels) == ("WAVEX", "PCM_16", 2)
        assert (info.samplerate, info.frames) == (RATE, RATE)
    assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == ["out"]


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    first = content(generate(sample(), tmp_path / "a"))
    assert content(generate(sample(), tmp_path / "b")) == first
    assert len(set(first.values())) == len(first)
    other = content(generate(sample(seed=8), tmp_path / "c"))
    assert not set(other.values()) & set(first.values())


def test_more_clips_leave_the_first_ones_as_they_are(tmp_path):
    few = content(generate(sample(), tmp_path / "few"))
    more = content(generate(sample(normal=5, abnormal=6), tmp_path / "more"))
    assert len(more) == 11
    assert {name: more[name] for name in few} == few


def test_a_folder_that_is_there_stays(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/kept").write_text("x")
    assert generate(sample(), tmp_path / "out") == tmp_path / "out"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["kept"]


def test_nothing_is_left_of_a_sample_that_failed(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(soundfile, "write", fail)
    with pytest.raises(KeyboardInterrupt):
        generate(sample(), tmp_path / "deep/out")
    assert list((tmp_path / "deep").iterdir()) == []


@pytest.mark.parametrize("generator", [{"seed": -1}, {"normal": 0}, {"abnormal": 0}, {"seconds": 601}, {"clips": 3}])
def test_unfit_generator(tmp_path, generator):
    with pytest.raises(CatalogError, match=f"generator.{next(iter(generator))} is missing or unfit"):
        generate(sample(**generator), tmp_path / "out")


def test_missing_generator(tmp_path):
    dataset = entry(name="s", kind="sample_machine_sound", generator={"normal": 3, "abnormal": 3, "seconds": 1})
    with pytest.raises(CatalogError, match=r"generator\.seed is missing"):
        generate(dataset, tmp_path / "out")


def area(scores, labels):
    """Share of pairs that are in order, ties half."""
    normal, abnormal = scores[labels == 0], scores[labels == 1]
    return float(np.mean((abnormal[:, None] > normal) + 0.5 * (abnormal[:, None] == normal)))


@pytest.fixture(scope="module")
def default(tmp_path_factory):
    """The index of a sample of the usual size, half as long, and each clip's mean log-mel (clips, bands)."""
    folder = tmp_path_factory.mktemp("default")
    dataset = sample(normal=60, abnormal=24, seconds=2)
    root = generate(dataset, folder / "raw")
    index = read_recordings(dataset, root, folder / "out", linked=True)["train"]
    sound = Sound()
    frames = [log_mel(read_clip(folder / "out" / file, sound), sound) for file in index["file"]]
    return index, np.array([frame.mean(axis=0) for frame in frames])


def test_clips_are_neither_silent_nor_clipped(default):
    index, _ = default
    assert not index["silent"].any()
    assert index["clipped_share"].max() == 0
    assert index["broken_values"].max() == 0
    assert index["problem"].isna().all()
    assert index["level_db"].between(-45, -20).all()


def test_the_level_alone_tells_little(default):
    index, _ = default
    labels = index["label"].to_numpy(dtype=int)
    level = index["level_db"].to_numpy()
    assert 0.3 < area(level, labels) < 0.8
    assert area(np.abs(level - np.median(level[labels == 0])), labels) < 0.8


def test_the_spectrum_tells_faults_but_not_all_of_them(default):
    index, spectra = default
    labels = index["label"].to_numpy(dtype=int)
    normal = np.flatnonzero(labels == 0)
    fit, held_out = normal[:40], np.concatenate([normal[40:], np.flatnonzero(labels == 1)])
    scaled = (spectra - spectra[fit].mean(axis=0)) / spectra[fit].std(axis=0)
    usual = np.linalg.svd(scaled[fit], full_matrices=False)[2][:8]
    unusual = scaled - scaled @ usual.T @ usual
    found = area((unusual[held_out] ** 2).mean(axis=1), labels[held_out])
    assert 0.75 < found < 0.995


def test_machines_are_found_where_they_were_written(tmp_path):
    found = find_recordings(generate(sample(), tmp_path / "out"), bare=False)
    assert {recording.machine for recording in found} == {"id_00"}
    assert [recording.label for recording in found] == [1] * 4 + [0] * 3
