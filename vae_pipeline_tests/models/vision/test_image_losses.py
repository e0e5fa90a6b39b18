"""The losses of images, written out pixel by pixel in NumPy."""

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d

from vae_pipeline.models.losses import image_error, segmentation_loss


def drawn(seed, count=3, size=16):
    return torch.from_numpy(np.random.default_rng(seed).random((count, 3, size, size)))


def similarity(one, other):
    """Mean SSIM of two grey images: windows of 7 pixels weighed by a Gaussian of deviation 1.5, no padding."""
    reach = np.arange(-3, 4)
    weights = np.exp(-(reach**2) / (2 * 1.5**2))
    weights /= weights.sum()

    def local(image):
        return correlate1d(correlate1d(image, weights, axis=0), weights, axis=1)[3:-3, 3:-3]

    mean, other_mean = local(one), local(other)
    variance, other_variance = local(one**2) - mean**2, local(other**2) - other_mean**2
    shared = local(one * other) - mean * other_mean
    light = (2 * mean * other_mean + 0.01**2) / (mean**2 + other_mean**2 + 0.01**2)
    return (light * (2 * shared + 0.03**2) / (variance + other_variance + 0.03**2)).mean()


@pytest.mark.parametrize("pixel_noise", [0.1, 0.5])
def test_without_structure_the_error_is_that_of_a_gaussian(pixel_noise):
    one, other = drawn(0), drawn(1)
    expected = [0.5 * ((a - b) ** 2).sum() / pixel_noise**2 for a, b in zip(one.numpy(), other.numpy(), strict=True)]
    found = image_error(one, other, pixel_noise=pixel_noise, structure=0.0)
    np.testing.assert_allclose(found.numpy(), expected)


@pytest.mark.parametrize("structure", [0.5, 2.0])
def test_structure_adds_half_of_one_minus_ssim_for_every_value(structure):
    one, other = drawn(2), drawn(3)
    added = image_error(one, other, pixel_noise=0.1, structure=structure)
    added -= image_error(one, other, pixel_noise=0.1, structure=0.0)
    expected = [
        structure * (1 - np.mean([similarity(*channel) for channel in zip(a, b, strict=True)])) / 2 * a.size
        for a, b in zip(one.numpy(), other.numpy(), strict=True)
    ]
    np.testing.assert_allclose(added.numpy(), expected, rtol=1e-5)


def test_an_image_rebuilt_exactly_has_no_error():
    image = drawn(4)
    np.testing.assert_allclose(image_error(image, image, pixel_noise=0.1, structure=1.0).numpy(), 0.0, atol=1e-9)


def test_segmentation_is_four_times_the_cross_entropy_plus_the_dice_of_anomalous_images():
    random = np.random.default_rng(0)
    odds = random.normal(0, 2, (4, 8, 8))
    masks = (random.random((4, 8, 8)) < 0.2).astype(float)
    masks[2] = 0.0  # a normal image
    expected = []
    for one, mask in zip(odds, masks, strict=True):
        chance = 1 / (1 + np.exp(-one))
        entropy = -(mask * np.log(chance) + (1 - mask) * np.log(1 - chance)).mean()
        dice = 1 - (2 * (chance * mask).sum() + 1) / (chance.sum() + mask.sum() + 1) if mask.any() else 0.0
        expected.append(4 * entropy + dice)
    found = segmentation_loss(torch.from_numpy(odds), torch.from_numpy(masks))
    np.testing.assert_allclose(found.numpy(), expected)


def test_finding_exactly_what_is_there_costs_nothing():
    mask = torch.zeros(2, 8, 8)
    mask[0, 2:5, 3:6] = 1.0
    assert segmentation_loss(40 * (2 * mask - 1), mask).max() < 1e-4
    assert segmentation_loss(-40 * (2 * mask - 1), mask).min() > 1.0
