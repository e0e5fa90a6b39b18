"""Clips are split as wholes, every normal one is left out once where they are few, and no fold has heard of its own."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_pipeline.errors import DataError
from vae_pipeline.features.build import build
from vae_pipeline.features.clips import read_clip
from vae_pipeline.features.feature_set import FeatureSet, fold_folders
from vae_pipeline.features.log_mel import log_mel
from vae_pipeline.features.sounds import FEW_CLIPS, FEWEST, MOST_FOLDS, Clip, band_names, folds_of, split_clips
from vae_pipeline.records import Dataset, Sound
from vae_pipeline.settings import Settings
from vae_pipeline.sources.load import load
from vae_pipeline_tests.builders.indexes import sound_dataset
from vae_pipeline_tests.builders.recordings import write_clip, write_recordings

SMALL = {"rate": 16_000, "segment": 256, "hop": 128, "bands": 8}


def clips_of(folder, normal, abnormal, tested=0):
    """Clips of an index; the last ``tested`` normal ones and all abnormal ones came as test clips, if there are any."""
    labels = [0] * normal + [1] * abnormal
    given_test = [tested > 0 and (label == 1 or number >= normal - tested) for number, label in enumerate(labels)]
    return [
        Clip(f"{'ab' * label}normal/{number:03d}", folder / f"{number}.wav", label, test)
        for number, (label, test) in enumerate(zip(labels, given_test, strict=True))
    ]


def entry(**split) -> Dataset:
    return sound_dataset(sound=SMALL, window={"length": 8, "stride": 4}, split=split)


@given(st.integers(4, 80), st.integers(1, 20), st.one_of(st.none(), st.integers(0, 20)), st.integers(0, 100))
@settings(max_examples=60)
def test_every_normal_clip_is_left_out_exactly_once_where_there_are_folds(normal, abnormal, stated, seed):
    clips = clips_of(Path(), normal, abnormal)
    dataset = entry(folds=stated, seed=seed)
    folds = folds_of(clips, dataset)
    most = (MOST_FOLDS if normal < FEW_CLIPS else 0) if stated is None else stated
    assert len(folds) <= most
    assert bool(folds) == (most >= 2)
    if folds:
        assert sorted(name for fold in folds for name in fold) == sorted(clip.unit for clip in clips[:normal])
        sizes = [len(fold) for fold in folds]
        assert max(sizes) - min(sizes) <= 1


@given(st.integers(4, 60), st.integers(0, 20), st.floats(0.05, 0.95), st.integers(0, 100))
@settings(max_examples=60)
def test_no_clip_is_in_two_parts_and_abnormal_ones_are_only_tested(normal, abnormal, calibrate, seed):
    clips = clips_of(Path(), normal, abnormal)
    dataset = entry(calibrate=calibrate, seed=seed)
    folds = folds_of(clips, dataset)
    for left_out in [None, (), *folds]:
        parts = split_clips(clips, dataset, left_out)
        assert len(parts) == len(clips)
        assert parts == split_clips(clips, dataset, left_out)
        assert set(parts[normal:]) <= {"test"}
        assert {"fit", "calibrate"} <= set(parts[:normal])
        tested = {clip.unit for clip, part in zip(clips[:normal], parts, strict=False) if part == "test"}
        if left_out is not None:
            assert tested == set(left_out)
        elif abnormal:
            assert len(tested) == min(abnormal, normal // 2, normal - FEWEST)


def test_clips_that_came_for_testing_are_tested_and_no_others(tmp_path):
    clips = clips_of(tmp_path, 20, 5, tested=4)
    assert folds_of(clips, entry()) == []
    parts = split_clips(clips, entry(), None)
    assert [part == "test" for part in parts] == [clip.for_test for clip in clips]


def test_without_abnormal_clips_there_are_no_folds_and_a_share_is_tested(tmp_path):
    clips = clips_of(tmp_path, 20, 0)
    assert folds_of(clips, entry(folds=5)) == []
    assert split_clips(clips, entry(test=0.2), None).count("test") == 4


def test_too_few_normal_clips_are_counted_in_the_message(tmp_path):
    with pytest.raises(DataError, match="fans: 2 normal clips are left to fit and calibrate on, 3 are needed"):
        split_clips(clips_of(tmp_path, 2, 3), entry(), ())


def raw_of(folder, dataset, recordings):
    dataset = dataset.model_copy(update={"folder": str(recordings)})
    load(dataset, Settings(home=folder / "home"), folder / "raw")
    return folder / "raw"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Six normal clips and three abnormal ones, of which the last is longer, in three folds."""
    folder = tmp_path_factory.mktemp("sounds")
    recordings = write_recordings(folder / "recordings", normal=6, abnormal=2, seconds=0.25)
    noise = np.random.default_rng(5).standard_normal(6000) * 0.05
    write_clip(recordings / "abnormal/00000002.wav", noise)
    dataset = entry(folds=3)
    raw = raw_of(folder, dataset, recordings)
    (folder / "features").mkdir()
    facts = build(dataset, raw, folder / "features")
    return dataset, raw, folder / "features", facts


def test_rows_are_the_scaled_frames_of_each_clip_in_turn(built):
    dataset, raw, folder, _ = built
    features = FeatureSet.open(folder)
    assert features.sensors == band_names(dataset.sound)
    for code, segment in enumerate(features.segments):
        levels = log_mel(read_clip(raw / "files" / f"{segment.name}.wav", dataset.sound), dataset.sound)
        expected = features.scaler.transform(levels, np.empty((len(levels), 0)))
        np.testing.assert_allclose(features.rows[segment.start : segment.stop], expected, rtol=0, atol=1e-6)
        assert (features.row_unit[segment.start : segment.stop] == code).all()
        seconds = features.row_time[segment.start : segment.stop]
        np.testing.assert_allclose(seconds, np.arange(len(levels)) * 128 / 16_000)
        abnormal = int("abnormal" in segment.name)
        assert (features.row_label[segment.start : segment.stop] == abnormal).all()


def test_scaling_is_that_of_the_fit_part_alone(built):
    _, _, folder, _ = built
    for one in (folder, *fold_folders(folder)):
        features = FeatureSet.open(one)
        part = np.repeat(
            [item.part for item in features.segments], [item.stop - item.start for item in features.segments]
        )
        fitted = features.rows[part == "fit"]
        np.testing.assert_allclose(fitted.mean(0), 0.0, atol=1e-4)
        np.testing.assert_allclose(fitted.std(0), 1.0, atol=1e-3)
        assert np.abs(features.rows[part == "test"].mean(0)).max() > 0.1


def test_windows_stay_within_a_clip(built):
    features = FeatureSet.open(built[2])
    for part in ("fit", "calibrate", "test"):
        windows = features.windows(part)
        assert len(windows) > 0
        np.testing.assert_array_equal(features.row_unit[windows.starts], features.row_unit[windows.ends])
        assert {features.segments[code].part for code in features.units(windows)} == {part}


def test_with_folds_the_whole_set_tests_abnormal_clips_alone(built):
    _, _, folder, facts = built
    parts = {item.name: item.part for item in FeatureSet.open(folder).segments}
    assert {name for name, part in parts.items() if part == "test"} == {f"abnormal/0000000{n}" for n in range(3)}
    assert facts["folds"] == 3
    assert facts["units"] == 9
    assert facts["short_units"] == []


def test_folds_leave_out_two_normal_clips_each_and_share_none(built):
    left_out = []
    for fold in fold_folders(built[2]):
        segments = FeatureSet.open(fold).segments
        tested = [item.name for item in segments if item.part == "test" and item.name.startswith("normal")]
        assert len(tested) == 2
        left_out += tested
    assert sorted(left_out) == [f"normal/{number:08d}" for number in range(6)]


def test_a_fold_knows_nothing_of_the_clips_it_leaves_out(built, tmp_path):
    dataset, raw, folder, _ = built
    first = fold_folders(folder)[0]
    left_out = {item.name for item in FeatureSet.open(first).segments if item.part == "test"}
    changed = tmp_path / "raw"
    shutil.copytree(raw, changed)
    for name in left_out:
        path = changed / "files" / f"{name}.wav"
        length = len(read_clip(path, dataset.sound))
        path.unlink()  # a link to the other folder's file
        write_clip(path, np.random.default_rng(9).uniform(-0.9, 0.9, length))
    (tmp_path / "features").mkdir()
    build(dataset, changed, tmp_path / "features")
    again = fold_folders(tmp_path / "features")[0]
    assert (again / "scaling.npz").read_bytes() == (first / "scaling.npz").read_bytes()
    before, after = FeatureSet.open(first), FeatureSet.open(again)
    for one, other in zip(before.segments, after.segments, strict=True):
        assert one == other
        same = np.array_equal(before.rows[one.start : one.stop], after.rows[one.start : one.stop])
        assert same == (one.part != "test")
    # the other folds have heard the changed clips
    second = [fold_folders(path)[1] / "scaling.npz" for path in (folder, tmp_path / "features")]
    assert second[0].read_bytes() != second[1].read_bytes()


def test_a_clip_too_short_for_a_window_is_told(tmp_path):
    recordings = write_recordings(tmp_path / "recordings", normal=5, abnormal=1, seconds=0.25)
    write_clip(recordings / "normal/00000005.wav", np.ones(300) * 0.1)
    dataset = entry(folds=0)
    raw = raw_of(tmp_path, dataset, recordings)
    (tmp_path / "features").mkdir()
    facts = build(dataset, raw, tmp_path / "features")
    assert facts["short_units"] == ["normal/00000005"]
    assert facts["folds"] == 0


def test_a_raw_folder_without_an_index_is_named(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "features").mkdir()
    with pytest.raises(DataError, match="holds no index of recordings; materialize the raw data again"):
        build(entry(), tmp_path / "raw", tmp_path / "features")


def test_bands_are_named_by_their_centres():
    names = band_names(Sound(**SMALL))
    assert len(names) == 8
    assert names[0].startswith("mel_000_")
    centres = [int(name.split("_")[2]) for name in names]
    assert centres == sorted(centres)
    assert centres[-1] < 8000


@pytest.mark.parametrize("tested", [0, 6])
def test_clips_of_batches_move_none_that_were_there(tmp_path, tested):
    clips = clips_of(tmp_path, 40, 6, tested)
    later = [Clip(f"aaaaaaaa:{number}", tmp_path, int(number >= 10), False, added=True) for number in range(12)]
    before = split_clips(clips, entry(), None)
    after = split_clips([*clips, *later], entry(), None)
    assert after[: len(clips)] == before
    assert set(after[len(clips) : -2]) == ({"fit", "calibrate"} if tested else {"fit", "calibrate", "test"})
    assert after[-2:] == ["test", "test"]
