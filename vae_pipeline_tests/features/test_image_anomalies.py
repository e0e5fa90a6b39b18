"""A synthetic anomaly changes what its mask says and nothing else, is drawn by its seed, and can be seen."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation

from vae_pipeline.features.image_anomalies import (
    HELD_OUT,
    TRAINED,
    VISIBLE,
    _membrane,
    inject,
    planes,
    salience,
    with_anomalies,
)
from vae_pipeline_tests.builders.pictures import picture

KINDS = (*TRAINED, *HELD_OUT)
SIZE = 32


def drawn(count=6, size=SIZE):
    random = np.random.default_rng(1)
    return np.stack([picture(random, size)[0] for _ in range(count)])


PIXELS = drawn()
IMAGES = planes(PIXELS)
PLACE = salience(PIXELS, np.arange(len(PIXELS)))


def injected(kind, seed, image=IMAGES[0], donor=IMAGES[1]):
    return inject(image, donor, kind, PLACE, np.random.default_rng(seed))


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 2**32))
@settings(max_examples=25)
def test_only_what_the_mask_says_changes_visibly(kind, seed):
    before = IMAGES[0].copy()
    changed, mask = injected(kind, seed)
    np.testing.assert_array_equal(IMAGES[0], before)
    assert changed.dtype == np.float32
    assert mask.dtype == bool
    assert changed.shape == before.shape
    assert mask.shape == before.shape[1:]
    assert changed.min() >= 0.0
    assert changed.max() <= 1.0
    seen = np.abs(changed - before).max(0) > VISIBLE
    assert not (seen & ~mask).any()
    # closing fills gaps between changed pixels, it does not reach beyond
    assert not (mask & ~binary_dilation(seen)).any()


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_and_another_seed_something_else(kind):
    first, same, other = (injected(kind, seed) for seed in (3, 3, 4))
    for one, again in zip(first, same, strict=True):
        np.testing.assert_array_equal(one, again)
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("kind", KINDS)
def test_nearly_always_something_can_be_seen_and_most_stays_as_it_was(kind):
    shares = np.array([injected(kind, seed)[1].mean() for seed in range(30)])
    assert (shares > 0).mean() > 0.9
    assert np.median(shares) < 0.3


@pytest.mark.parametrize("kind", KINDS)
def test_a_grey_image_without_any_detail_is_no_trouble(kind):
    flat = np.full((1, SIZE, SIZE), 0.5, dtype=np.float32)
    changed, mask = injected(kind, 0, flat, flat)
    assert np.isfinite(changed).all()
    assert changed.shape == flat.shape
    assert mask.any() == (np.abs(changed - flat).max() > VISIBLE)


def test_a_change_at_the_rim_of_the_image_is_in_the_mask():
    corner = np.zeros((SIZE, SIZE))
    corner[0, 0] = 1.0
    dark, light = np.zeros((3, SIZE, SIZE), np.float32), np.ones((3, SIZE, SIZE), np.float32)
    for seed in range(8):
        changed, mask = inject(dark, light, "cut_paste", corner, np.random.default_rng(seed))
        np.testing.assert_array_equal(mask[0] | (changed[:, 0].max(0) <= VISIBLE), True)


def test_only_the_chosen_images_get_an_anomaly():
    chosen = np.array([True, False, True, False, False, True])
    changed, masks = with_anomalies(IMAGES, IMAGES[::-1], chosen, ("drawn",), PLACE, np.random.default_rng(0))
    np.testing.assert_array_equal(changed[~chosen], IMAGES[~chosen])
    np.testing.assert_array_equal(masks.any((1, 2)), chosen)


def test_planes_are_the_bytes_as_shares_of_full_scale():
    np.testing.assert_array_equal(planes(PIXELS)[2, 1], PIXELS[2, :, :, 1].astype(np.float32) / np.float32(255))


def test_salience_is_a_chance_that_follows_edges():
    assert PLACE.sum() == pytest.approx(1.0)
    assert PLACE.min() > 0.0
    framed = np.zeros((2, SIZE, SIZE, 3), dtype=np.uint8)
    framed[:, :, SIZE // 2 :] = 200  # one vertical edge in the middle
    chance = salience(framed, np.arange(2)).sum(0)
    assert abs(int(np.argmax(chance)) - SIZE // 2) <= 1
    assert chance[SIZE // 2] > 2 * chance[0]


def test_salience_of_images_without_an_edge_is_even():
    np.testing.assert_allclose(salience(np.full((2, 8, 8, 3), 90, np.uint8), np.arange(2)), 1 / 64)


def test_salience_looks_at_the_stated_images_alone():
    spoilt = PIXELS.copy()
    spoilt[3] = np.random.default_rng(0).integers(0, 256, spoilt[3].shape)
    np.testing.assert_array_equal(salience(spoilt, np.array([0, 1])), salience(PIXELS, np.array([0, 1])))


def by_elimination(target, guide):
    """The same Poisson equation, written down pixel by pixel and solved as one linear system."""
    height, width = target.shape[1:]
    blended = np.empty(target.shape)
    place = np.arange(height * width).reshape(height, width)
    for channel in range(len(target)):
        equations, right = np.eye(height * width), target[channel].ravel().astype(float)
        for row in range(1, height - 1):
            for column in range(1, width - 1):
                here = place[row, column]
                beside = [
                    place[row - 1, column],
                    place[row + 1, column],
                    place[row, column - 1],
                    place[row, column + 1],
                ]
                equations[here, here] = -4.0
                equations[here, beside] = 1.0
                flat = guide[channel].ravel()
                right[here] = flat[beside].sum() - 4.0 * flat[here]
        blended[channel] = np.linalg.solve(equations, right).reshape(height, width)
    return blended


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 2), st.integers(0, 2**32))
@settings(max_examples=40)
def test_the_seamless_blend_is_the_solution_of_the_poisson_equation(height, width, channels, seed):
    random = np.random.default_rng(seed)
    target, guide = random.random((2, channels, height, width))
    np.testing.assert_allclose(_membrane(target, guide), by_elimination(target, guide), atol=1e-9)


def test_a_guide_that_differs_by_light_alone_changes_nothing():
    target = IMAGES[0].astype(np.float64)
    np.testing.assert_allclose(_membrane(target, target + 0.3), target, atol=1e-9)
