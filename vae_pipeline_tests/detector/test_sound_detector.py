"""A detector of recordings scores files as it scores features, refuses other rates, and never reads a test label."""

import json
import shutil

import numpy as np
import pytest

from vae_pipeline.calibration.clips import ClipScorer
from vae_pipeline.calibration.scorers import Summary
from vae_pipeline.detector import clip_calibration
from vae_pipeline.detector.calibrate import calibrate
from vae_pipeline.detector.clip_calibration import FORM
from vae_pipeline.detector.sounds import SoundDetector
from vae_pipeline.errors import CalibrationError, DataError, DetectorError
from vae_pipeline.features.clips import read_clip
from vae_pipeline_tests.builders.recordings import write_clip
from vae_pipeline_tests.detector.sound_examples import made_sounds, opened


def assert_alike(one, other):
    assert one.description == other.description
    for first, second in ((one.fitted_arrays(), other.fitted_arrays()), (one.reference, other.reference)):
        assert set(first) == set(second)
        for name, values in first.items():
            np.testing.assert_array_equal(values, second[name], err_msg=name)


def every_clip(example):
    """Scores of all clips by their features: names and values."""
    windows = [example.features.windows(part) for part in ("fit", "calibrate", "test")]
    found = {}
    for some in windows:
        codes, scores = example.detector.score_units(some, example.features.units(some))
        found |= {example.features.unit_names[code]: score for code, score in zip(codes, scores, strict=True)}
    return list(found), np.array(list(found.values()))


def test_files_get_the_scores_of_their_features(sound_example):
    names, expected = every_clip(sound_example)
    assert len(names) == 16
    scored = sound_example.detector.score_clips([sound_example.file_of(name) for name in names])
    np.testing.assert_allclose(scored.score, expected, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(scored.alarm, scored.score > sound_example.detector.description.threshold.value)


def test_bytes_and_samples_get_the_scores_of_their_files(sound_example):
    files = [sound_example.file_of(f"normal/{number:08d}") for number in range(3)]
    expected = sound_example.detector.score_clips(files).score
    from_bytes = sound_example.detector.score_clips([(file.name, file.read_bytes()) for file in files])
    np.testing.assert_array_equal(from_bytes.score, expected)
    waves = np.stack([read_clip(file, sound_example.dataset.sound) for file in files])
    np.testing.assert_allclose(sound_example.detector.score_waves(waves).score, expected, rtol=0, atol=1e-6)


def test_order_does_not_matter_and_progress_is_told(sound_example):
    names, _ = every_clip(sound_example)
    files = [sound_example.file_of(name) for name in names]
    told = []
    forward = sound_example.detector.score_clips(files, progress=told.append).score
    np.testing.assert_allclose(sound_example.detector.score_clips(files[::-1]).score[::-1], forward, rtol=0, atol=1e-9)
    assert told == [1] * len(files)
    assert len(sound_example.detector.score_clips([]).score) == 0


def test_windows_of_a_clip_may_come_in_any_order(sound_example):
    windows = sound_example.features.windows("test")
    units = sound_example.features.units(windows)
    shuffled = np.random.default_rng(0).permutation(len(windows))
    codes, scores = sound_example.detector.score_units(windows, units)
    again, mixed = sound_example.detector.score_units(windows.subset(shuffled), units[shuffled])
    np.testing.assert_array_equal(codes, again)
    np.testing.assert_allclose(mixed, scores, rtol=0, atol=1e-4)


def test_another_rate_is_refused(sound_example, tmp_path):
    path = write_clip(tmp_path / "slow.wav", np.zeros(4000) + 0.1, rate=8000)
    with pytest.raises(DataError, match=r"slow\.wav: has 8000 samples a second where 16000 are expected; resample it"):
        sound_example.detector.score_clips([path])


def test_a_clip_shorter_than_a_window_is_refused(sound_example, tmp_path):
    path = write_clip(tmp_path / "short.wav", np.zeros(500) + 0.1)
    with pytest.raises(DetectorError, match=r"short\.wav: 4 frames are fewer than a window of 8; give a longer rec"):
        sound_example.detector.score_clips([path])


@pytest.mark.parametrize("waves", [np.zeros(4000), np.full((1, 4000), np.nan)], ids=["one row", "not finite"])
def test_samples_of_another_form_are_refused(sound_example, waves):
    with pytest.raises(DetectorError, match="reads finite samples"):
        sound_example.detector.score_waves(waves)


def test_a_saved_detector_scores_the_same(sound_example):
    again = opened(sound_example.calibrated / "detector")
    assert_alike(again, sound_example.detector)
    files = [sound_example.file_of("abnormal/00000000"), sound_example.file_of("normal/00000000")]
    np.testing.assert_array_equal(again.score_clips(files).score, sound_example.detector.score_clips(files).score)


def test_a_detector_that_does_not_know_how_it_heard_says_so(sound_example, tmp_path):
    sound_example.detector.save(tmp_path)
    file = tmp_path / "detector.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "sound": None}))
    with pytest.raises(DetectorError, match="says nothing of 'sound'; register the detector again"):
        opened(tmp_path).score_clips([sound_example.file_of("normal/00000000")])


def test_calibrate_gives_the_class_of_the_medium(sound_example):
    detector, report = calibrate(sound_example.dataset, "0a1b", sound_example.features.folder, sound_example.network)
    assert isinstance(detector, SoundDetector)
    assert_alike(detector, sound_example.detector)
    assert report == sound_example.report


def test_the_report_speaks_of_clips(sound_example):
    report = sound_example.report
    assert (report.noun, report.criterion, report.forms) == ("clips", "nothing", ())
    assert (report.samples, report.normal_samples, report.anomalous_samples) == (8, 8, 0)
    assert sound_example.detector.description.form == FORM


def test_abnormal_clips_score_higher(sound_example):
    names, scores = every_clip(sound_example)
    abnormal = np.array([name.startswith("abnormal") for name in names])
    assert scores[abnormal].min() > scores[~abnormal].max()


def test_test_labels_and_test_clips_are_never_read(sound_example, tmp_path):
    folder = tmp_path / "features"
    shutil.copytree(sound_example.features.folder, folder)
    with np.load(folder / "rows.npz") as stored:
        arrays = dict(stored)
    rows = np.load(folder / "rows.npy")
    for segment in sound_example.features.segments:
        if segment.part == "test":
            some = slice(segment.start, segment.stop)
            arrays["label"][some] = 1 - arrays["label"][some]
            rows[some] = 99.0
    np.savez(folder / "rows.npz", **arrays)
    np.save(folder / "rows.npy", rows)
    detector, report = calibrate(sound_example.dataset, "0a1b", folder, sound_example.network)
    assert_alike(detector, sound_example.detector)
    assert report == sound_example.report


def test_too_few_clips_are_counted_in_the_message(sound_example, tmp_path):
    folder = tmp_path / "features"
    shutil.copytree(sound_example.features.folder, folder)
    about = json.loads((folder / "features.json").read_text())
    for part in ("fit", "calibrate"):
        for unit in [unit for unit in about["units"] if unit["part"] == part][1:]:
            unit["part"] = "test"
    (folder / "features.json").write_text(json.dumps(about))
    with pytest.raises(CalibrationError, match="2 normal clips to calibrate on, 3 are needed; add some"):
        calibrate(sound_example.dataset, "0a1b", folder, sound_example.network)


def test_the_same_clips_elsewhere_give_the_same_detector(sound_example, tmp_path):
    assert_alike(made_sounds(tmp_path, sound_example.network).detector, sound_example.detector)


@pytest.mark.parametrize("count", [3, 6, 10])
def test_each_normal_clip_is_judged_by_the_statistics_of_the_others(count):
    random = np.random.default_rng(0)
    normal = Summary(
        random.normal(size=(count, 4)),
        random.normal(size=(count, 4)),
        random.normal(size=(count, 2)),
        random.uniform(1, 2, count),
    )
    expected = []
    for clip in range(count):
        others = Summary(*(np.delete(values, clip, axis=0) for values in normal))
        expected.append(ClipScorer.fit(others, late=8).parts(Summary(*(values[[clip]] for values in normal)))[0])
    np.testing.assert_allclose(clip_calibration._crossed(normal, late=8), expected)


def test_of_many_clips_a_tenth_is_left_out_at_a_time():
    random = np.random.default_rng(0)
    normal = Summary(*(random.normal(size=(30, width)) for width in (4, 4, 2)), random.uniform(1, 2, 30))
    tenth = np.arange(30) % 10 == 3
    others, mine = (Summary(*(values[some] for values in normal)) for some in (~tenth, tenth))
    found = clip_calibration._crossed(normal, late=8)[tenth]
    np.testing.assert_allclose(found, ClipScorer.fit(others, late=8).parts(mine))
