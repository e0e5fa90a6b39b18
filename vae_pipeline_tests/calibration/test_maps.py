"""From image and reconstruction to maps and a score, each step against the same written out slowly."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from vae_pipeline.calibration.maps import MAPS, ImageObservation, MapScorer, NormalMaps, evidence
from vae_pipeline.errors import CalibrationError

SIZE = 16


def observed(count=3, seed=0, *, head=True, size=SIZE):
    random = np.random.default_rng(seed)
    images = random.integers(60, 180, (count, size, size, 3)).astype(np.uint8)
    rebuilt = (images / 255 + random.normal(0, 0.05, images.shape)).astype(np.float32)
    segmentation = random.normal(0, 8, (count, size, size)).astype(np.float32) if head else None
    return ImageObservation(images, rebuilt, np.zeros((count, 2), np.float32), segmentation)


def maps_of(count, seed=0, size=SIZE):
    random = np.random.default_rng(seed)
    level = random.normal(0, 1, (3, size, size))
    return (level + random.normal(0, 0.5, (count, 3, size, size)) + 4).astype(np.float32)


def scorer(seed=0, **changes):
    return MapScorer(NormalMaps.fit([maps_of(20, seed)]), smoothing=0.0, top=0.02, **changes)


class TestEvidence:
    def test_is_what_it_says_pixel_by_pixel(self):
        batch = observed()
        found = evidence(batch, 0.1)
        assert found.shape == (3, 3, SIZE, SIZE)
        assert found.dtype == np.float32
        for one in range(3):
            image, rebuilt = batch.images[one] / 255.0, batch.reconstruction[one].astype(float)
            difference = image - rebuilt
            residual = sum(np.abs(difference[..., c] - np.median(difference[..., c])) for c in range(3)) / 3
            a, b = image.mean(2), rebuilt.mean(2)

            def local(values):
                return gaussian_filter(values, 1.5)

            shared = local(a * b) - local(a) * local(b)
            spread = local(a**2) - local(a) ** 2 + local(b**2) - local(b) ** 2
            structure = 1 - (2 * shared + 0.03**2) / (spread + 0.03**2)
            head = np.clip(batch.segmentation[one], -12, 12)
            for place, values in enumerate((residual, structure, head)):
                np.testing.assert_allclose(found[one, place], gaussian_filter(values, 1.6), rtol=0, atol=2e-4)

    @given(st.integers(-40, 40), st.integers(0, 1000))
    @settings(max_examples=30)
    def test_is_blind_to_light_that_is_the_same_everywhere(self, light, seed):
        batch = observed(seed=seed)
        lighter = batch._replace(images=(batch.images.astype(int) + light).astype(np.uint8))
        np.testing.assert_allclose(evidence(lighter, 0.05)[:, :2], evidence(batch, 0.05)[:, :2], rtol=0, atol=1e-3)

    def test_of_an_image_rebuilt_exactly_is_nothing(self):
        batch = observed()
        exact = batch._replace(reconstruction=batch.images.astype(np.float32) / np.float32(255))
        np.testing.assert_allclose(evidence(exact, 0.0)[:, :2], 0.0, atol=1e-5)

    def test_without_a_head_its_map_is_zero(self):
        found = evidence(observed(head=False), 0.1)
        assert (found[:, MAPS.index("head")] == 0).all()
        assert (found[:, MAPS.index("residual")] > 0).any()

    @pytest.mark.parametrize("names", [("head",), ("structure",), ("head", "residual"), ("structure", "residual")])
    def test_of_some_maps_is_theirs_in_their_order(self, names):
        batch = observed(size=64)
        every = evidence(batch, 0.05)
        np.testing.assert_array_equal(evidence(batch, 0.05, names), every[:, [MAPS.index(name) for name in names]])

    def test_of_the_head_alone_asks_nothing_of_the_pictures(self):
        batch = observed()
        spoilt = batch._replace(reconstruction=np.full_like(batch.reconstruction, np.nan))
        np.testing.assert_array_equal(evidence(spoilt, 0.05, ("head",)), evidence(batch, 0.05, ("head",)))

    def test_lies_where_the_picture_was_spoilt(self):
        batch = observed(size=32)
        batch.images[:, 20:26, 6:12] = 255
        found = evidence(batch, 0.02)
        for place in (0, 1):
            row, column = np.unravel_index(np.argmax(found[0, place]), (32, 32))
            assert 18 <= row <= 28
            assert 4 <= column <= 14


class TestNormalMaps:
    @given(st.lists(st.integers(1, 6), min_size=1, max_size=6), st.integers(0, 1000))
    @settings(max_examples=30)
    def test_batches_give_what_all_at_once_gives(self, sizes, seed):
        everything = maps_of(sum(sizes) + 1, seed).astype(np.float64)
        batches = np.split(everything.astype(np.float32), np.cumsum(sizes))
        normal = NormalMaps.fit(iter(batches))
        overall = everything.transpose(1, 0, 2, 3).reshape(3, -1)
        np.testing.assert_allclose(normal.overall_mean, overall.mean(1), rtol=1e-5)
        np.testing.assert_allclose(normal.overall_deviation, overall.std(1), rtol=1e-4)
        for place in range(3):
            mean, variance = everything[:, place].mean(0), everything[:, place].var(0)
            np.testing.assert_allclose(normal.mean[place], gaussian_filter(mean, 1.0), rtol=1e-4)
            floor = 0.1 * overall.std(1)[place]
            expected = np.sqrt(gaussian_filter(variance, 1.0)) + floor
            np.testing.assert_allclose(normal.deviation[place], expected, rtol=1e-4)

    def test_large_values_that_hardly_vary_keep_their_deviation(self):
        maps = 1e4 + maps_of(40).astype(np.float64)
        normal = NormalMaps.fit([maps[:10], maps[10:]])
        np.testing.assert_allclose(normal.deviation, NormalMaps.fit([maps - 1e4]).deviation, rtol=1e-4)

    def test_maps_that_never_change_have_a_deviation_above_zero(self):
        normal = NormalMaps.fit([np.full((3, 3, SIZE, SIZE), 2.0, np.float32)])
        assert (normal.deviation > 0).all()
        assert (normal.overall_deviation > 0).all()

    @pytest.mark.parametrize("batches", [[], [maps_of(1)]])
    def test_fewer_than_two_images_are_refused(self, batches):
        with pytest.raises(CalibrationError, match=r"at least two normal calibration images; raise split\.calibrate"):
            NormalMaps.fit(batches)


class TestMapScorer:
    @given(st.integers(0, 10_000), st.integers(1, 20), st.floats(0.001, 1.0), st.floats(0.0, 1.0), st.booleans())
    def test_the_highest_pixels_are_those_of_a_sorted_map(self, seed, size, top, zeros, coarse):
        random = np.random.default_rng(seed)
        maps = random.normal(size=(2, 3, size, size)).astype(np.float32)
        maps[random.random(maps.shape) < zeros] = 0.0
        maps = np.round(maps) if coarse else maps
        kept = max(1, round(top * size**2))
        expected = np.sort(maps.reshape(2, 3, -1).astype(np.float64), axis=-1)[..., -kept:].mean(-1)
        np.testing.assert_allclose(replace(scorer(), top=top).highest(maps), expected, rtol=1e-12, atol=1e-12)

    def test_evidence_is_scaled_pixel_by_pixel_or_over_the_whole_image(self):
        one = scorer(placements=("pixel", "image", "pixel"), unit=np.array([2.0, 0.5, 1.0]))
        found = maps_of(4, seed=3)
        scaled = one.scaled(found)
        assert scaled.dtype == np.float32
        for image in range(4):
            for place, placement in enumerate(one.placements):
                for row, column in ((0, 0), (3, 9), (15, 15)):
                    pixel = placement == "pixel"
                    mean = one.normal.mean[place, row, column] if pixel else one.normal.overall_mean[place]
                    deviation = (
                        one.normal.deviation[place, row, column] if pixel else one.normal.overall_deviation[place]
                    )
                    z = (found[image, place, row, column] - mean) / deviation / one.unit[place]
                    assert scaled[image, place, row, column] == pytest.approx(max(z, 0.0), rel=1e-4, abs=1e-5)

    def test_scaling_leaves_the_evidence_as_it_is(self):
        found = maps_of(2, seed=3)
        before = found.copy()
        scorer().scaled(found)
        np.testing.assert_array_equal(found, before)

    @pytest.mark.parametrize("placement", ["pixel", "image"])
    def test_a_unit_is_what_one_normal_pixel_in_a_hundred_exceeds(self, placement):
        found = maps_of(30, seed=5)
        one = scorer(placements=(placement,) * 3, unit=np.array([9.0, 9.0, 9.0])).with_units(found)
        above = (one.scaled(found) > 1.0).mean((0, 2, 3))
        np.testing.assert_allclose(above, 0.01, atol=0.002)

    @pytest.mark.parametrize("top", [0.001, 0.02, 0.3, 0.999])
    def test_the_highest_pixels_are_those_a_sorted_list_begins_with(self, top):
        maps = maps_of(3, seed=6)[:, 0]
        found = replace(scorer(), top=top).highest(maps)
        kept = max(1, round(top * SIZE * SIZE))
        expected = [np.mean(sorted(one.ravel().tolist(), reverse=True)[:kept]) for one in maps]
        np.testing.assert_allclose(found, expected, rtol=1e-6)

    def test_parts_are_logarithms_and_of_nothing_a_number_too(self):
        one = scorer()
        scaled = one.scaled(maps_of(3, seed=7))
        scaled[0] = 0.0
        parts = one.parts(scaled)
        assert parts.shape == (3, 3)
        np.testing.assert_allclose(parts[0], np.log(0.01))
        np.testing.assert_allclose(np.exp(parts[1]) - 0.01, one.highest(scaled[1]))

    @pytest.mark.parametrize("form", [("residual",), ("structure", "head"), MAPS])
    def test_the_score_is_the_sum_of_standardised_parts_and_the_map_that_of_maps(self, form):
        one = scorer(form=form).with_parts(np.random.default_rng(0).normal(-1, 2, (50, 3)))
        parts = np.random.default_rng(1).normal(size=(4, 3))
        expected = [
            sum(
                (row[MAPS.index(name)] - one.part_mean[MAPS.index(name)]) / one.part_deviation[MAPS.index(name)]
                for name in form
            )
            for row in parts
        ]
        np.testing.assert_allclose(one.combine(parts), expected)
        scaled = one.scaled(maps_of(2))
        summed = sum(scaled[:, MAPS.index(name)] for name in form)
        np.testing.assert_allclose(one.map(scaled), summed, rtol=1e-6)

    @pytest.mark.parametrize("form", [("residual",), ("head", "structure"), MAPS])
    def test_the_maps_of_the_form_alone_give_the_same_map_and_score(self, form):
        one = scorer(form=form, placements=("pixel", "image", "image"), unit=np.array([2.0, 0.5, 1.5]))
        one = one.with_parts(np.random.default_rng(0).normal(-1, 2, (50, 3)))
        found, alone = maps_of(4, seed=3), one.of_form
        scaled, less = one.scaled(found), alone.scaled(found[:, [MAPS.index(name) for name in form]])
        assert less.shape[1] == len(form)
        np.testing.assert_array_equal(alone.map(less), one.map(scaled))
        np.testing.assert_array_equal(alone.combine(alone.parts(less)), one.combine(one.parts(scaled)))

    def test_normal_parts_have_mean_0_and_deviation_1_in_the_score(self):
        parts = np.random.default_rng(0).normal(3, 2, (200, 3))
        scores = scorer(form=("head",)).with_parts(parts).combine(parts)
        assert scores.mean() == pytest.approx(0.0, abs=1e-9)
        assert scores.std() == pytest.approx(1.0)

    def test_parts_that_never_change_do_not_blow_up_the_score(self):
        one = scorer().with_parts(np.ones((5, 3)))
        assert np.isfinite(one.combine(np.array([[1.0, 1.0, 1.01]]))).all()
        assert one.combine(np.ones((1, 3)))[0] == 0.0

    @given(st.integers(0, 1000))
    @settings(max_examples=20)
    def test_more_evidence_never_lowers_the_score(self, seed):
        one = scorer()
        found = maps_of(2, seed)
        more = found + np.abs(maps_of(2, seed + 1))
        lower, higher = (one.combine(one.parts(one.scaled(values))) for values in (found, more))
        assert (higher >= lower).all()

    def test_arrays_make_the_same_scorer_again(self, tmp_path):
        one = scorer(form=("residual", "head"), placements=("image", "pixel", "image"), unit=np.array([1.0, 2.0, 3.0]))
        one = one.with_parts(np.random.default_rng(0).normal(size=(9, 3)))
        np.savez(tmp_path / "a.npz", allow_pickle=False, **one.to_arrays())
        with np.load(tmp_path / "a.npz") as stored:
            again = MapScorer.from_arrays(
                dict(stored), form=one.form, placements=one.placements, smoothing=one.smoothing, top=one.top
            )
        found = maps_of(3, seed=8)
        np.testing.assert_array_equal(again.scaled(found), one.scaled(found))
        parts = one.parts(one.scaled(found))
        np.testing.assert_array_equal(again.combine(parts), one.combine(parts))
        assert (again.form, again.placements, again.smoothing, again.top) == (
            one.form,
            one.placements,
            one.smoothing,
            one.top,
        )
