"""The score with gradients is the detector's score, and its attribution adds up to the difference it explains."""

import numpy as np
import pytest
import torch

from vae_pipeline.calibration.maps import evidence
from vae_pipeline.evaluation.attribution import Attributor
from vae_pipeline_tests.detector.examples import made


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    return made(tmp_path_factory.mktemp("attribution"))


@pytest.fixture(scope="module")
def attributor(example):
    return Attributor.of_windows(example.network.parent, example.detector, example.features)


def scored(attributor, samples):
    with torch.no_grad():
        return attributor.score(torch.from_numpy(np.asarray(samples, dtype=np.float32))).numpy()


def test_windows_score_as_the_detector_scores_them(example, attributor):
    windows = example.features.windows("test").evenly(50)
    expected = example.detector.score_scaled(windows).score
    np.testing.assert_allclose(scored(attributor, windows.take(slice(None))), expected, rtol=1e-3, atol=1e-3)


def test_the_parts_of_windows_add_up_to_the_difference_from_normal(example, attributor):
    window = example.features.windows("test").take(slice(0, 1))[0]
    found = attributor.attributed(window)
    difference = scored(attributor, window[None]) - scored(attributor, attributor.baseline[None])
    assert found.shape == window.shape
    assert found.sum() == pytest.approx(float(difference[0]), abs=0.1 * abs(float(difference[0])) + 0.05)


def test_a_normal_sample_has_nothing_to_attribute(attributor):
    assert not attributor.attributed(attributor.baseline).any()


def test_clips_score_as_the_detector_scores_them(sound_example):
    attributor = Attributor.of_clips(sound_example.network.parent, sound_example.detector, sound_example.features)
    windows = sound_example.features.windows("test")
    units = sound_example.features.units(windows)
    codes, expected = sound_example.detector.score_units(windows, units)
    for code, score in zip(codes[:3], expected[:3], strict=True):
        clip = windows.subset(units == code).take(slice(None))
        assert scored(attributor, clip[None])[0] == pytest.approx(score, rel=1e-3, abs=1e-3)
        assert attributor.attributed(clip).shape == clip.shape


@pytest.mark.parametrize("placement", ["pixel", "image"])
def test_the_residual_part_of_images_is_the_detectors(image_example, placement, monkeypatch):
    from dataclasses import replace

    detector = image_example.detector
    monkeypatch.setattr(detector, "scorer", replace(detector.scorer, placements=(placement,) * 3))
    attributor = Attributor.of_images(image_example.network.parent, detector, image_example.images)
    pixels = image_example.images.pixels[image_example.images.index("test")]
    scorer = detector.scorer
    parts = scorer.parts(scorer.scaled(evidence(detector.session.observe_images(pixels), scorer.smoothing)))
    expected = (parts[:, 0] - scorer.part_mean[0]) / scorer.part_deviation[0]
    images = pixels.transpose(0, 3, 1, 2) / 255.0
    np.testing.assert_allclose(scored(attributor, images), expected, rtol=1e-3, atol=2e-3)
    found = attributor.attributed(images[0])
    assert found.shape == images[0].shape
    assert np.isfinite(found).all()
