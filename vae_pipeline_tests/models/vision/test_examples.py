"""Training examples: what is normal, the same with an anomaly, and where that is."""

import numpy as np
import pytest
import torch

from vae_pipeline.models.vision.augmentation import ImageAugmentation
from vae_pipeline.models.vision.examples import ImageExamples
from vae_pipeline.records import ImageTraining
from vae_pipeline_tests.builders.pictures import picture

STILL = ImageTraining(rotation=0.0, shift=0.0, jitter=0.0, blur=0.0)
INDEX = np.array([1, 3, 4, 6])


@pytest.fixture(scope="module")
def pixels():
    random = np.random.default_rng(0)
    return np.stack([picture(random, 32)[0] for _ in range(8)])


def scaled(pixels, places):
    return torch.from_numpy(pixels[places]).permute(0, 3, 1, 2) / 255.0


def changed(batch):
    return (batch.inputs - batch.targets).abs().flatten(1).max(1).values > 0


def test_targets_are_the_normal_images_that_were_asked_for(pixels):
    batch = ImageExamples(pixels, INDEX, STILL).__getitems__([2, 0])
    torch.testing.assert_close(batch.targets, scaled(pixels, [4, 1]))
    assert batch.inputs.shape == batch.targets.shape == (2, 3, 32, 32)
    assert batch.masks.shape == (2, 32, 32)
    assert {tensor.dtype for tensor in batch} == {torch.float32}


def test_there_are_as_many_as_images_in_the_index(pixels):
    assert len(ImageExamples(pixels, INDEX, STILL)) == 4


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_stated_share_gets_an_anomaly(pixels, share):
    torch.manual_seed(0)
    examples = ImageExamples(pixels, INDEX, STILL.model_copy(update={"anomalous_share": share}))
    batch = examples.__getitems__([0, 1, 2, 3] * 20)
    found = changed(batch).float().mean().item()
    assert found == pytest.approx(share, abs=0.15 if share == 0.5 else 0.05)
    assert set(batch.masks.unique().tolist()) <= {0.0, 1.0}
    # what is not marked has not changed to speak of
    outside = ((batch.inputs - batch.targets).abs().amax(1) * (1 - batch.masks)).max()
    assert outside <= 0.03 + 1e-6


def test_examples_differ_each_time_and_follow_the_seed(pixels):
    examples = ImageExamples(pixels, INDEX, STILL.model_copy(update={"anomalous_share": 1.0}))
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append([examples.__getitems__([0, 1]).inputs for _ in range(2)])
    assert not torch.equal(drawn[0][0], drawn[0][1])
    assert torch.equal(drawn[0][0], drawn[1][0])
    assert not torch.equal(drawn[0][0], drawn[2][0])


def test_fixed_examples_are_always_the_same_and_every_second_is_anomalous(pixels):
    moving = ImageTraining()  # with augmentation, which fixed examples do without
    batches = [ImageExamples(pixels, INDEX, moving, fixed=True).__getitems__([0, 1, 2, 3]) for _ in range(2)]
    for one, again in zip(*batches, strict=True):
        assert torch.equal(one, again)
    torch.testing.assert_close(batches[0].targets, scaled(pixels, INDEX))
    assert not changed(batches[0])[1::2].any()
    assert changed(batches[0])[::2].all()
    assert not batches[0].masks[1::2].any()


def test_the_images_stay_as_they_are(pixels):
    before = pixels.copy()
    ImageExamples(pixels, INDEX, ImageTraining()).__getitems__([0, 1, 2, 3])
    np.testing.assert_array_equal(pixels, before)


def test_images_outside_of_the_index_are_not_looked_at(pixels):
    spoilt = pixels.copy()
    spoilt[[0, 2, 5, 7]] = 255
    drawn = []
    for images in (pixels, spoilt):
        torch.manual_seed(5)
        drawn.append(ImageExamples(images, INDEX, STILL).__getitems__([0, 1, 2, 3] * 3).inputs)
    assert torch.equal(*drawn)


def test_augmentation_without_any_change_gives_the_images_back():
    images = torch.rand(2, 3, 32, 32)
    assert ImageAugmentation(STILL)(images) is images


@pytest.mark.parametrize(
    "change",
    [{"flip": True}, {"rotation": 90.0}, {"shift": 0.2}, {"jitter": 0.3}, {"blur": 1.0}],
    ids=lambda change: next(iter(change)),
)
def test_each_augmentation_changes_images_and_keeps_their_range(change):
    torch.manual_seed(1)
    images = torch.rand(8, 3, 32, 32)
    found = ImageAugmentation(STILL.model_copy(update=change))(images)
    assert found.shape == images.shape
    assert not torch.equal(found, images)
    assert 0.0 <= found.min() <= found.max() <= 1.0


def test_mirroring_only_moves_pixels():
    torch.manual_seed(0)
    images = torch.rand(6, 3, 32, 32)
    found = ImageAugmentation(STILL.model_copy(update={"flip": True}))(images)
    torch.testing.assert_close(found.flatten(1).sort(1).values, images.flatten(1).sort(1).values)
