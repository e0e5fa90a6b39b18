"""Objects that lie anyhow are brought to one place and turn, and maps go back to where the object lay."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_pipeline.features.registration import Placement, Registration, restored, straightened
from vae_pipeline_tests.builders.pictures import picture, turned_picture

SIZE = 96


def pictures(count, seed=0):
    random = np.random.default_rng(seed)
    return np.stack([turned_picture(random, SIZE)[0] for _ in range(count)])


@pytest.fixture(scope="module")
def registration():
    return Registration.learnt(pictures(24), np.arange(24))


def shown(turn, down=0.0, right=0.0, seed=1):
    return turned_picture(np.random.default_rng(seed), SIZE, turn=turn, shift=(down, right))[0]


def apart(one, other):
    """Degrees between two turns."""
    return abs((one - other + 180.0) % 360.0 - 180.0)


@given(turn=st.floats(0.0, 360.0), down=st.floats(-0.05, 0.05), right=st.floats(-0.05, 0.05), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_turn_and_shift_are_found_against_the_same_object_straight(registration, turn, down, right, seed):
    here, there = (registration.placement(image) for image in (shown(0.0), shown(turn, down, right, seed)))
    assert apart(there.turn, here.turn + turn) < 3.0
    difference = straightened(shown(turn, down, right, seed), there).astype(float) - straightened(shown(0.0), here)
    assert np.abs(difference)[SIZE // 8 : -SIZE // 8, SIZE // 8 : -SIZE // 8].mean() < 15.0  # of a grey of 170 on 90


def test_among_six_like_holes_the_lug_decides(registration):
    random = np.random.default_rng(5)
    turns = random.uniform(0.0, 360.0, 30)
    found = [registration.placement(shown(turn, seed=seed)).turn for seed, turn in enumerate(turns)]
    zero = registration.placement(shown(0.0)).turn
    assert max(apart(one, zero + turn) for one, turn in zip(found, turns, strict=True)) < 3.0


def test_a_defect_does_not_throw_it_off(registration):
    random = np.random.default_rng(8)
    for _ in range(10):
        turn, shift = random.uniform(0.0, 360.0), (0.0, 0.0)
        seed = int(random.integers(1000))
        whole, broken = (
            turned_picture(np.random.default_rng(seed), SIZE, turn=turn, shift=shift, defective=defective)[0]
            for defective in (False, True)
        )
        assert apart(registration.placement(whole).turn, registration.placement(broken).turn) < 5.0


@given(turn=st.floats(-360.0, 360.0), down=st.floats(-0.1, 0.1), right=st.floats(-0.1, 0.1))
@settings(max_examples=25, deadline=None)
def test_a_map_goes_back_to_where_the_object_lay(turn, down, right):
    spot = np.zeros((SIZE, SIZE, 3), dtype=np.uint8)
    place = np.arange(SIZE) / SIZE
    spot[np.hypot(place[:, None] - 0.4, place - 0.55) < 0.08] = 200
    placement = Placement(turn, down, right)
    back = restored(straightened(spot, placement)[:, :, 0].astype(np.float32), placement)
    assert back.dtype == np.float32
    assert np.abs(back - spot[:, :, 0])[SIZE // 6 : -SIZE // 6, SIZE // 6 : -SIZE // 6].mean() < 6.0


def test_nothing_moves_what_lies_straight():
    image = shown(33.0)
    np.testing.assert_array_equal(straightened(image, Placement(0.0, 0.0, 0.0)), image)


def test_where_a_straightened_image_has_no_pixels_it_shows_its_background():
    image = np.full((SIZE, SIZE, 3), (10, 20, 30), dtype=np.uint8)
    image[30:60, 30:60] = 250
    np.testing.assert_array_equal(straightened(image, Placement(45.0, 0.0, 0.0))[0, 0], (10, 20, 30))


def test_it_is_useful_for_turned_objects_and_not_for_surfaces_or_round_ones(registration):
    assert registration.useful
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (16, 64, 64, 3)).astype(np.uint8)
    round_ones = np.stack([picture(random, 64)[0] for _ in range(16)])
    for images in (noise, round_ones, np.full((16, 64, 64, 3), 90, dtype=np.uint8)):
        assert not Registration.learnt(images, np.arange(16)).useful


def test_only_the_images_it_is_given_are_learnt_from():
    images = pictures(12)
    spoilt = images.copy()
    spoilt[6:] = 0
    one, other = (Registration.learnt(every, np.arange(6)) for every in (images, spoilt))
    np.testing.assert_array_equal(one.exemplar, other.exemplar)


def test_arrays_bring_it_back(registration):
    again = Registration.from_arrays(registration.to_arrays())
    assert again.placement(shown(77.0)) == registration.placement(shown(77.0))
    assert again.removed == registration.removed


def test_grey_images_are_registered_by_their_shape():
    grey = np.repeat(pictures(12).mean(3, keepdims=True), 3, 3).astype(np.uint8)
    found = Registration.learnt(grey, np.arange(12))
    assert np.isfinite(found.exemplar).all()
    assert found.useful
