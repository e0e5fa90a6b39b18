"""The network of pairs begins as the two networks it comes from, and does not heed what is missing."""

import numpy as np
import pytest
import torch

from vae_pipeline.detector.pair_session import PairSession
from vae_pipeline.models.export import export_onnx
from vae_pipeline.models.multimodal.network import FusionShape, MultimodalVAE
from vae_pipeline.models.timeseries.network import NetworkShape, TimeSeriesVAE
from vae_pipeline.models.vision.network import ImageShape, VisionVAE

FUSIONS = ("product", "mixture", "mean", "concatenation")


@pytest.fixture(scope="module")
def lines():
    torch.manual_seed(0)
    windows = TimeSeriesVAE(NetworkShape(channels=4, length=12, hidden=(8, 16), latent=3)).eval()
    return windows, VisionVAE(ImageShape(size=32, width=4, latent=5)).eval()


@pytest.fixture(scope="module")
def sample():
    random = np.random.default_rng(0)
    windows = random.normal(size=(3, 4, 12)).astype(np.float32)
    return windows, random.integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)


def network_of(lines, fusion="product", *, attention=True, latent=8, moved=True):
    torch.manual_seed(1)
    shape = FusionShape(
        windows=lines[0].shape, images=lines[1].shape, latent=latent, fusion=fusion, attention=attention
    )
    network = MultimodalVAE(shape).eval()
    network.adopt(*lines)
    if moved and attention:  # as after a training: attention that adds something
        with torch.no_grad():
            for layer in network.attention:
                layer.answer.weight.normal_(0.0, 0.02)
    return network


def observed(network, windows, images, there):
    count = len(windows)
    pairs = torch.arange(count)[:, None].repeat(1, 2)
    present = torch.tensor([there] * count, dtype=torch.float32)
    with torch.no_grad():
        return network.observe(torch.from_numpy(windows), torch.from_numpy(images), pairs, present, torch.arange(count))


@pytest.mark.parametrize("attention", [True, False])
def test_it_begins_by_giving_back_what_the_two_networks_give_back(lines, sample, attention):
    network = network_of(lines, "concatenation", attention=attention, moved=False)
    found = observed(network, *sample, (1, 1))
    with torch.no_grad():
        own, shown = lines[0].observe(torch.from_numpy(sample[0])), lines[1].observe(torch.from_numpy(sample[1]))
    torch.testing.assert_close(found[0], own[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(found[1], shown[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(found[2], torch.cat([own[1], shown[1]], 1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("latent", [2, 5, 8, 12])
def test_dimensions_are_adapted_where_they_differ(lines, sample, latent):
    found = observed(network_of(lines, latent=latent), *sample, (1, 1))
    assert found[2].shape == (3, latent)
    assert all(torch.isfinite(values).all() for values in found)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_what_stands_in_the_place_of_a_missing_modality_does_not_matter(lines, sample, fusion):
    network = network_of(lines, fusion)
    windows, images = sample
    one, other = observed(network, windows, images, (1, 0)), observed(network, windows, 255 - images, (1, 0))
    torch.testing.assert_close(one[0], other[0])
    one, other = observed(network, windows, images, (0, 1)), observed(network, -windows, images, (0, 1))
    torch.testing.assert_close(one[1], other[1])


@pytest.mark.parametrize("fusion", FUSIONS)
def test_attention_lets_one_modality_change_how_the_other_is_encoded(lines, sample, fusion):
    windows, _ = sample
    network = network_of(lines, fusion)
    seen, shown = network.windows.features(torch.from_numpy(windows)), network.images.features(torch.rand(3, 3, 32, 32))
    both = torch.ones(3, 2)
    with torch.no_grad():
        one, other = (network.fuse(seen, features, both)[0].posterior.mean for features in (shown, -shown))
    assert not torch.allclose(one[:, : network.split], other[:, : network.split], atol=1e-4)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_the_exported_network_observes_the_same_whoever_is_there(lines, sample, fusion, tmp_path):
    network = network_of(lines, fusion)
    export_onnx(network, tmp_path / "model.onnx")
    session = PairSession(tmp_path / "model.onnx")
    windows, images = sample
    assert (session.window_shape, session.size) == ((4, 12), 32)
    for seen, shown in ((True, True), (True, False), (False, True)):
        expected = observed(network, windows, images, (float(seen), float(shown)))
        found = session.observe_pairs(windows if seen else None, images if shown else None, network.split)
        if found.windows:
            np.testing.assert_allclose(found.windows.reconstruction, expected[0], atol=1e-4)
            np.testing.assert_allclose(found.windows.latent, expected[2][:, : network.split], atol=1e-4)
        if found.images:
            np.testing.assert_allclose(found.images.reconstruction, expected[1], atol=1e-4)
            np.testing.assert_allclose(found.images.segmentation, expected[3], atol=1e-3)
        assert (found.windows is None, found.images is None) == (not seen, not shown)


def test_what_pairs_share_is_given_once(lines, sample, tmp_path):
    network = network_of(lines)
    export_onnx(network, tmp_path / "model.onnx")
    session = PairSession(tmp_path / "model.onnx")
    windows, images = sample
    pairs = np.array([[0, 0], [1, 0], [2, 0]])
    shared = session.observe_pairs(windows, images[:1], network.split, pairs=pairs)
    apart = session.observe_pairs(windows, images[[0, 0, 0]], network.split)
    np.testing.assert_allclose(shared.windows.reconstruction, apart.windows.reconstruction, atol=1e-5)
    np.testing.assert_allclose(shared.images.reconstruction, apart.images.reconstruction, atol=1e-5)
