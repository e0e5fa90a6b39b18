"""Every medium has an objective of calibration data, and looking at a network changes nothing of its training."""

import shutil

import numpy as np
import pytest
import torch

from vae_pipeline.calibration.faults import louder
from vae_pipeline.experiments.objective import separation
from vae_pipeline.experiments.probe import probe
from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline.models.fit import load_network
from vae_pipeline.models.timeseries.network import TimeSeriesVAE
from vae_pipeline.models.vision.network import VisionVAE


@pytest.fixture(params=["image_example", "sound_example"])
def example(request):
    found = request.getfixturevalue(request.param)
    features = (found.images if request.param == "image_example" else found.features).folder
    return found, features, VisionVAE if request.param == "image_example" else TimeSeriesVAE


def test_separation_is_the_mean_of_two_areas_and_says_of_what(example):
    found, features, _ = example
    judged = separation(found.dataset, "v1", features, found.network)
    assert judged.value == pytest.approx((judged.roc_auc + judged.pr_auc) / 2)
    assert 0.0 < judged.value <= 1.0
    assert judged.criterion.startswith("synthetic")
    assert separation(found.dataset, "v1", features, found.network) == judged


def test_a_look_gives_the_same_twice_and_leaves_the_training_as_it_was(example):
    found, features, kind = example
    network = load_network(found.network.parent, kind)
    network.train()
    look = probe(found.dataset, features)
    state = torch.random.get_rng_state()
    first = look(network)
    assert 0.0 < first <= 1.0
    assert look(network) == first
    assert network.training
    assert torch.equal(torch.random.get_rng_state(), state)


def test_test_images_decide_nothing(image_example, tmp_path):
    features = tmp_path / "features"
    shutil.copytree(image_example.images.folder, features)
    pixels = np.load(features / "images.npy")
    test = image_example.images.index("test")
    pixels[test] = 255 - pixels[test]
    np.save(features / "images.npy", pixels)
    asked = (image_example.dataset, "v1")
    other = separation(*asked, features, image_example.network)
    assert other == separation(*asked, image_example.images.folder, image_example.network)
    network = load_network(image_example.network.parent, VisionVAE)
    kept = probe(image_example.dataset, image_example.images.folder)(network)
    assert probe(image_example.dataset, features)(network) == kept


def test_test_clips_decide_nothing(sound_example, tmp_path):
    features = tmp_path / "features"
    shutil.copytree(sound_example.features.folder, features)
    opened = FeatureSet.open(features)
    rows = np.array(opened.rows)
    for segment in opened.segments:
        if segment.part == "test":
            rows[segment.start : segment.stop] += 7.0
    np.save(features / "rows.npy", rows)
    asked = (sound_example.dataset, "v1")
    other = separation(*asked, features, sound_example.network)
    assert other == separation(*asked, sound_example.features.folder, sound_example.network)


def test_three_neighbouring_bands_are_louder_throughout():
    windows = np.zeros((2, 5, 4), dtype=np.float32)
    changed = louder(windows, np.array([1, 4]), 0.5)
    assert changed.dtype == np.float32
    assert changed[0].sum(1).tolist() == [0.0, 2.0, 2.0, 2.0, 0.0]
    assert changed[1].sum(1).tolist() == [0.0, 0.0, 0.0, 0.0, 2.0]
    assert not windows.any()
