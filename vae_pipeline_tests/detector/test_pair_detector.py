"""A detector of pairs scores whoever is there, on one scale, and refuses what is no pair."""

import numpy as np
import pytest

from vae_pipeline.detector import image_calibration, pair_calibration
from vae_pipeline.detector.detector import Detector
from vae_pipeline.detector.pair_calibration import calibrate_pairs, chosen_form
from vae_pipeline.detector.pairs import PairDetector
from vae_pipeline.detector.report import FormFigure
from vae_pipeline.errors import CalibrationError, DetectorError
from vae_pipeline.features.pair_set import PairSet
from vae_pipeline_tests.detector.pair_examples import calibration, made_pairs


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    return made_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def scaled(example):
    paired = example.pairs.paired("test")
    return paired.windows.take(slice(None)), paired.pixels[paired.images]


@pytest.fixture
def raw(example):
    """Pairs in raw units."""
    random = np.random.default_rng(0)
    description = example.detector.windows.description
    scaler = example.detector.windows.scaler
    rows = random.normal(size=(5 * description.window, len(description.inputs)))
    values = rows * scaler.scale[0] + scaler.mean[0] if hasattr(scaler, "scale") else rows
    windows = values.reshape(5, description.window, -1).transpose(0, 2, 1)
    return windows, random.integers(0, 256, (5, 40, 40, 3)).astype(np.uint8)


def test_a_loaded_detector_scores_as_the_one_that_was_saved(example, scaled, tmp_path):
    example.detector.save(tmp_path / "detector")
    loaded = Detector.load(tmp_path / "detector")
    assert isinstance(loaded, PairDetector)
    assert loaded.description == example.detector.description
    for windows, images in (scaled, (scaled[0], None), (None, scaled[1])):
        one, other = (detector.score_scaled(windows, images) for detector in (example.detector, loaded))
        np.testing.assert_array_equal(one.score, other.score)


def test_order_and_batches_do_not_matter(example, scaled):
    windows, images = scaled
    everyone = example.detector.score_scaled(windows, images).score
    order = np.random.default_rng(0).permutation(len(windows))
    np.testing.assert_allclose(
        example.detector.score_scaled(windows[order], images[order]).score, everyone[order], atol=1e-5
    )
    alone = [example.detector.score_scaled(windows[[place]], images[[place]]).score[0] for place in range(3)]
    np.testing.assert_allclose(alone, everyone[:3], atol=1e-5)


def test_a_missing_modality_is_a_normal_input(example, raw):
    windows, images = raw
    some = windows.copy()
    some[1] = np.nan
    found = example.detector.score_pairs(some, [image if place != 2 else None for place, image in enumerate(images)])
    assert np.isfinite(found.score).all()
    np.testing.assert_array_equal(np.isnan(found.windows), np.arange(5) == 1)
    np.testing.assert_array_equal(np.isnan(found.images), np.arange(5) == 2)
    np.testing.assert_allclose(found.score[1], example.detector.score_pairs(None, images[[1]]).score, atol=1e-6)
    np.testing.assert_allclose(found.score[2], example.detector.score_pairs(windows[[2]], None).score, atol=1e-6)


def test_what_is_no_pair_is_refused(example, raw):
    windows, images = raw
    with pytest.raises(DetectorError, match="5 windows and 4 images are no pairs"):
        example.detector.score_pairs(windows, images[:4])
    with pytest.raises(DetectorError, match="0 windows and 0 images are no pairs"):
        example.detector.score_pairs(None, None)
    with pytest.raises(DetectorError, match="pair 3 has neither a window nor an image"):
        example.detector.score_pairs(
            np.where(np.arange(5)[:, None, None] == 3, np.nan, windows), [*images[:3], None, images[4]]
        )
    with pytest.raises(DetectorError, match="windows have shape"):
        example.detector.score_pairs(windows[:, :2], images)


def test_normal_pairs_alarm_as_rarely_as_asked(example):
    scores = example.detector.reference["scores"]
    assert (scores > example.detector.description.threshold.value).mean() <= 0.02
    dataset = example.dataset.model_copy(update={"calibration": calibration(false_alarm_rate=0.2)})
    detector, _ = calibrate_pairs(dataset, "0a1b", example.pairs, example.network)
    share = (detector.reference["scores"] > detector.description.threshold.value).mean()
    assert 0.05 < share <= 0.2  # eight images alone: scores tie, and none of a tie alarms


def test_a_stated_form_is_taken(example):
    dataset = example.dataset.model_copy(update={"calibration": calibration(form="largest")})
    detector, _ = calibrate_pairs(dataset, "0a1b", example.pairs, example.network)
    assert detector.description.form == ("largest",)


def test_calibration_reads_no_test_pair(example):
    fields = {name: getattr(example.pairs, name) for name in example.pairs.__dataclass_fields__}
    changed = {part: values[::-1] if part == "test" else values for part, values in example.pairs.starts.items()}
    other = PairSet(**{**fields, "starts": changed})
    again, _ = calibrate_pairs(example.dataset, "0a1b", other, example.network)
    assert again.description == example.detector.description


def test_pairs_may_have_more_images_than_a_reference_keeps(example, monkeypatch):
    for room in (image_calibration, pair_calibration):
        monkeypatch.setattr(room, "REFERENCE_SIZE", 5)
    detector, _ = calibrate_pairs(example.dataset, "0a1b", example.pairs, example.network)
    assert len(np.unique(example.pairs.paired("calibrate").images)) > 5
    assert len(detector.images.reference["scores"]) == 5
    assert detector.description.threshold == example.detector.description.threshold


def test_too_few_normal_pairs_are_refused(example):
    fields = {name: getattr(example.pairs, name) for name in example.pairs.__dataclass_fields__}
    few = {name: {part: values[:8] for part, values in fields[name].items()} for name in ("starts", "places")}
    with pytest.raises(CalibrationError, match=r"8 normal calibration pairs, 64 are needed; raise pairs\.calibrate"):
        calibrate_pairs(example.dataset, "0a1b", PairSet(**{**fields, **few}), example.network)


@pytest.mark.parametrize(("gain", "form"), [(0.01, "sum"), (0.03, "largest")])
def test_the_sum_stays_unless_another_form_is_clearly_better(gain, form):
    forms = (
        FormFigure(form=("sum",), roc_auc=0.9, pr_auc=0.9),
        FormFigure(form=("largest",), roc_auc=0.9, pr_auc=0.9 + gain),
    )
    assert chosen_form(forms) == form


def test_an_explanation_says_which_side_sensor_and_region(example, raw):
    windows, images = raw
    [both, seen, shown] = example.detector.explain_pairs(
        np.where(np.arange(3)[:, None, None] == 2, np.nan, windows[:3]), [images[0], None, images[2]], ["a", "b", "c"]
    )
    scores = example.detector.score_pairs(
        np.where(np.arange(3)[:, None, None] == 2, np.nan, windows[:3]), [images[0], None, images[2]]
    ).score
    assert [explanation.score for explanation in (both, seen, shown)] == pytest.approx(scores.tolist(), abs=1e-5)
    assert [[side.name for side in explanation.modalities] for explanation in (both, seen, shown)] == [
        ["window", "image"],
        ["window"],
        ["image"],
    ]
    assert sum(side.share for side in both.modalities) == pytest.approx(1.0)
    assert {sensor.name for sensor in both.sensors} == set(example.detector.windows.description.sensors)
    assert shown.sensors == ()
    assert both.name == "a"
