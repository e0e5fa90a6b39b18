"""The networks of images: shapes, determinism, and the exported file that says the same."""

import numpy as np
import pytest
import torch

from vae_pipeline.detector.session import NetworkSession
from vae_pipeline.models.export import export_onnx
from vae_pipeline.models.fit import load_network, save_network
from vae_pipeline.models.vision.network import ImageShape, VisionVAE
from vae_pipeline.records import ImageTraining


def network(size=64, *, head=True, width=4, latent=3):
    torch.manual_seed(0)
    return VisionVAE(ImageShape(size=size, width=width, latent=latent, head=head)).eval()


def drawn(count, size=64):
    return np.random.default_rng(count).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [32, 64, 96])
@pytest.mark.parametrize("width", [4, 8])
def test_reconstruction_has_the_shape_of_the_images_and_lies_in_their_range(size, width):
    vae, images = network(size, width=width), torch.rand(2, 3, size, size)
    reconstruction, posterior = vae(images)
    assert reconstruction.shape == images.shape
    assert 0.0 <= reconstruction.min() <= reconstruction.max() <= 1.0
    assert posterior.mean.shape == posterior.log_variance.shape == (2, 3)
    assert vae.segment(images, reconstruction).shape == (2, size, size)


def test_without_a_head_there_is_nothing_to_segment():
    vae, images = network(head=False), torch.rand(2, 3, 64, 64)
    assert vae.segment(images, images) is None
    assert vae.OUTPUTS == ("reconstruction", "latent")
    assert len(vae.observe(vae.example())) == 2
    with_head = network()
    assert with_head.OUTPUTS == ("reconstruction", "latent", "segmentation")
    parameters = [sum(value.numel() for value in one.parameters()) for one in (vae, with_head)]
    assert parameters[0] < parameters[1]


def test_evaluation_is_deterministic_and_training_draws():
    vae, images = network(), torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(vae(images)[0], vae(images)[0], rtol=0, atol=0)
    vae.train()
    assert not torch.equal(vae(images)[0], vae(images)[0])


def test_an_image_is_judged_alone_whatever_its_batch():
    vae, images = network(), torch.from_numpy(drawn(4))
    together = vae.observe(images)
    for place in range(4):
        for all_of_them, one in zip(together, vae.observe(images[place : place + 1]), strict=True):
            torch.testing.assert_close(all_of_them[place : place + 1], one, rtol=1e-4, atol=1e-4)


def test_every_part_of_the_network_is_reached_by_the_loss():
    vae = network().train()
    images = torch.rand(2, 3, 64, 64)
    reconstruction, posterior = vae(images)
    found = vae.segment(images, reconstruction.detach())
    (reconstruction.sum() + posterior.log_variance.sum() + found.sum()).backward()
    without = [name for name, value in vae.named_parameters() if value.grad is None or not value.grad.abs().sum() > 0]
    assert without == []


def test_log_variance_is_bounded_so_that_its_exponential_cannot_overflow():
    assert network().encode(1e6 * torch.rand(2, 3, 64, 64)).log_variance.abs().max() <= 10


def test_shape_comes_from_the_hyperparameters_and_the_images():
    shape = ImageShape.of(ImageTraining(width=8, latent=5, head=False), 96)
    assert shape == ImageShape(size=96, width=8, latent=5, head=False)


def test_what_is_observed_is_what_the_network_makes_of_the_scaled_image():
    vae, images = network(), drawn(2)
    shown, latent, found = vae.observe(torch.from_numpy(images))
    scaled = torch.from_numpy(images).permute(0, 3, 1, 2) / 255.0
    reconstruction, posterior = vae(scaled)
    torch.testing.assert_close(shown.permute(0, 3, 1, 2), reconstruction)
    torch.testing.assert_close(latent, posterior.mean)
    torch.testing.assert_close(found, vae.segment(scaled, reconstruction))


@pytest.mark.parametrize("head", [True, False])
def test_onnx_equals_torch_for_any_batch(head, tmp_path):
    vae = network(head=head)
    export_onnx(vae, tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    session = NetworkSession(tmp_path / "model.onnx")
    assert session.has_head == head
    for count in (1, 2, 3, 17):
        images = drawn(count)
        observed = session.observe_images(images)
        with torch.no_grad():
            shown, latent, *found = vae.observe(torch.from_numpy(images))
        np.testing.assert_allclose(observed.reconstruction, shown.numpy(), rtol=0, atol=1e-5)
        np.testing.assert_allclose(observed.latent, latent.numpy(), rtol=0, atol=1e-4)
        if head:
            np.testing.assert_allclose(observed.segmentation, found[0].numpy(), rtol=0, atol=1e-4)
        else:
            assert observed.segmentation is None


def test_weights_survive_the_disk(tmp_path):
    vae = network()
    save_network(vae, tmp_path)
    again = load_network(tmp_path, VisionVAE)
    assert again.shape == vae.shape
    images = torch.rand(1, 3, 64, 64)
    assert torch.equal(again(images)[0], vae(images)[0])
