import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from vae_pipeline.errors import DataError
from vae_pipeline.evaluation import localisation
from vae_pipeline.evaluation.localisation import PixelScores

SHAPE = (9, 11)


def flood(mask):
    """Regions by walking from pixel to pixel over edges and corners: a list of pixel sets."""
    left, found = set(zip(*np.nonzero(mask), strict=True)), []
    while left:
        region, edge = set(), [left.pop()]
        while edge:
            y, x = edge.pop()
            region.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            edge += near
        found.append(region)
    return found


def slow_aupro(maps, masks, limit):
    """Bergmann et al. with a threshold at every distinct score, one region after the other."""
    values = np.unique(np.concatenate([m.ravel() for m in maps]))[::-1]
    regions = [(i, region) for i, mask in enumerate(masks) for region in flood(mask)]
    normal = np.concatenate([m[~mask] for m, mask in zip(maps, masks, strict=True)])
    points = [(0.0, 0.0)]
    for value in values:
        overlaps = [np.mean([maps[i][pixel] >= value for pixel in region]) for i, region in regions]
        points.append(((normal >= value).mean(), np.mean(overlaps)))
    area = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if x0 < limit and x1 > x0:
            end = min(x1, limit)
            area += (end - x0) * (y0 + y0 + (y1 - y0) * (end - x0) / (x1 - x0)) / 2
    return area / limit


@st.composite
def parts(draw):
    """A few small images whose maps have ties, within and across images, and at least one anomalous pixel."""
    count = draw(st.integers(1, 3))
    numbers = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e3, 1e3, width=32))
    maps = [draw(arrays(np.float32, SHAPE, elements=numbers, fill=st.just(0.0))) for _ in range(count)]
    masks = [draw(arrays(bool, SHAPE, elements=st.booleans(), fill=st.just(False))) for _ in range(count)]
    masks[0][2:4, 3] = True
    masks[0][7, 8] = False
    return maps, masks


def counted(maps, masks, **settings):
    scores = PixelScores(**settings)
    for score_map, mask in zip(maps, masks, strict=True):
        scores.add(score_map, mask)
    return scores


def bumpy(images=4, size=128, seed=0, zeros=False):
    """Smooth maps that are higher inside of two rectangles and a spot."""
    rng = np.random.default_rng(seed)
    maps, masks = [], []
    for _ in range(images):
        mask = np.zeros((size, size), dtype=bool)
        for extent in (size // 8, size // 5, 2):
            y, x = rng.integers(0, size - extent, 2)
            mask[y : y + extent, x : x + extent] = True
        noise = ndimage.gaussian_filter(rng.normal(size=(size, size)), 2) * 8
        score_map = np.exp(noise + 2.0 * mask) * 1e-3
        maps.append((np.maximum(score_map - 5e-4, 0) if zeros else score_map).astype(np.float32))
        masks.append(mask)
    return maps, masks


@given(parts(), st.sampled_from([0.05, 0.3, 0.77, 1.0]))
@settings(max_examples=100, deadline=None)
def test_aupro_equals_thresholds_at_every_score(part, limit):
    assert counted(*part).aupro(limit) == pytest.approx(slow_aupro(*part, limit), abs=1e-9)


@given(parts())
@settings(max_examples=60, deadline=None)
def test_pixel_auroc_equals_sklearn(part):
    maps, masks = part
    expected = roc_auc_score(np.concatenate(masks).ravel(), np.concatenate(maps).ravel())
    assert counted(maps, masks).pixel_auroc() == pytest.approx(expected, abs=1e-9)


@given(parts())
@settings(max_examples=60, deadline=None)
def test_bins_move_results_by_no_more_than_they_say(part):
    kept, binned = counted(*part), counted(*part, exact=0)
    assert kept.uncertainty() == 0.0
    assert abs(binned.aupro() - kept.aupro()) <= binned.uncertainty() + 1e-9
    assert abs(binned.pixel_auroc() - kept.pixel_auroc()) <= binned.uncertainty() + 1e-9


@pytest.mark.parametrize("zeros", [False, True])
def test_bins_of_real_sizes_are_fine_enough(zeros):
    maps, masks = bumpy(zeros=zeros)
    kept, binned = counted(maps, masks), counted(maps, masks, exact=0)
    assert 0.6 < kept.aupro() < 0.95
    assert 0 < binned.uncertainty() < (0.1 if zeros else 2e-5)
    # without the zeros, which are true ties, no bin joins much
    assert binned.aupro() == pytest.approx(kept.aupro(), abs=2e-5)
    assert binned.pixel_auroc() == pytest.approx(kept.pixel_auroc(), abs=2e-5)


def test_coarse_bins_are_as_far_off_as_they_may_be(monkeypatch):
    monkeypatch.setattr(localisation, "BINS", 64)
    maps, masks = bumpy()
    kept, binned = counted(maps, masks), counted(maps, masks, exact=0)
    assert 1e-3 < binned.uncertainty() < 0.1
    assert 0 < abs(binned.aupro() - kept.aupro()) <= binned.uncertainty()
    assert 0 < abs(binned.pixel_auroc() - kept.pixel_auroc()) <= binned.uncertainty()
    assert all(counts.shape[1] <= 64 * 5 / 4 for counts in binned._bins.counts.values())


def test_neither_order_nor_the_moment_of_binning_matters(monkeypatch):
    monkeypatch.setattr(localisation, "BINS", 512)
    maps, masks = bumpy(images=5)
    # every image widens the range of scores
    maps = [score_map * 10.0**i for i, score_map in enumerate(maps)]
    results = set()
    for order in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 4, 1, 3]):
        for exact in (0, 128 * 128, 3 * 128 * 128):
            scores = counted([maps[i] for i in order], [masks[i] for i in order], exact=exact)
            results.add((round(scores.aupro(), 12), round(scores.pixel_auroc(), 12), round(scores.uncertainty(), 12)))
    assert len(results) == 1


@pytest.mark.parametrize("exact", [0, localisation.EXACT])
def test_perfect_inverted_and_tied_maps(exact):
    mask = bumpy()[1][0]
    perfect = counted([mask.astype(np.float32)], [mask], exact=exact)
    assert perfect.aupro() == pytest.approx(1.0)
    assert perfect.pixel_auroc() == 1.0
    inverted = counted([1 - mask.astype(np.float32)], [mask], exact=exact)
    assert inverted.aupro() == 0.0
    assert inverted.pixel_auroc() == 0.0
    tied = counted([np.full(mask.shape, 0.25, dtype=np.float32)], [mask], exact=exact)
    # one straight line from (0, 0) to (1, 1)
    assert tied.aupro() == pytest.approx(0.15)
    assert tied.pixel_auroc() == 0.5


def test_every_region_counts_the_same_whatever_its_size():
    mask = np.zeros((40, 40), dtype=bool)
    mask[2:22, 2:22] = True
    mask[30, 30] = True
    found = np.where(mask, 1.0, 0.0)
    found[30, 30] = -1.0
    assert counted([found], [mask]).aupro() == pytest.approx(0.5)


def test_regions_touch_at_corners():
    scores = counted([np.zeros((6, 6))], [np.eye(6, dtype=bool)])
    assert scores.regions == {"": 1}


def test_signed_zeros_are_one_score():
    mask = np.array([[True, False]])
    assert counted([np.array([[0.0, -0.0]])], [mask]).pixel_auroc() == 0.5


@pytest.mark.parametrize("exact", [0, localisation.EXACT])
def test_what_is_not_defined_is_nan(exact):
    scores = PixelScores(exact)
    assert np.isnan([scores.aupro(), scores.pixel_auroc()]).all()
    scores.add(np.ones((4, 4)))
    scores.add(np.ones((4, 4)), np.zeros((4, 4)))
    assert np.isnan([scores.aupro(), scores.pixel_auroc()]).all()
    only = PixelScores(exact)
    only.add(np.ones((4, 4)), np.ones((4, 4)), defect="all")
    assert np.isnan([only.aupro(), only.pixel_auroc()]).all()
    assert only.by_defect() == {"all": {"regions": 1.0}}
    assert scores.uncertainty() == only.uncertainty() == 0.0


@pytest.mark.parametrize("exact", [0, localisation.EXACT])
def test_by_defect_sets_a_defect_against_its_own_images_and_the_good_ones(exact):
    maps, masks = bumpy(images=5)
    scores = PixelScores(exact)
    scores.add(maps[0])
    for i, defect in ((1, "scratch"), (2, "hole"), (3, "scratch")):
        scores.add(maps[i], masks[i], defect=defect)
    scores.add(maps[4], defect="scratch")  # the mask is missing
    assert scores.left_out == 1
    assert scores.pixels == 4 * 128 * 128
    found = scores.by_defect()
    assert list(found) == ["hole", "scratch"]
    good = np.zeros_like(masks[0])
    for defect, chosen in (("scratch", [0, 1, 3]), ("hole", [0, 2])):
        alone = counted([maps[i] for i in chosen], [masks[i] if i else good for i in chosen])
        assert found[defect]["aupro"] == pytest.approx(alone.aupro(), abs=1e-4)
        assert found[defect]["pixel_auroc"] == pytest.approx(alone.pixel_auroc(), abs=1e-4)
        assert found[defect]["regions"] == sum(len(flood(masks[i])) for i in chosen if i)
    whole = counted(maps[:4], [good, *masks[1:4]])
    assert scores.aupro() == pytest.approx(whole.aupro(), abs=1e-4)


def test_memory_does_not_grow_with_the_images():
    maps, masks = bumpy(images=4, size=300)
    tracemalloc.start()
    peaks = []
    for images in (8, 40):
        tracemalloc.reset_peak()
        scores = counted([maps[i % 4] for i in range(images)], [masks[i % 4] for i in range(images)], exact=200_000)
        assert 0.6 < scores.aupro() < 0.95
        del scores
        peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


@pytest.mark.parametrize("limit", [0.0, -1.0, 1.5, float("nan")])
def test_a_limit_that_is_no_rate_is_refused(limit):
    with pytest.raises(DataError, match="limit is"):
        counted([np.eye(3)], [np.eye(3)]).aupro(limit)


def test_unfit_maps_and_masks_are_refused():
    scores = PixelScores()
    with pytest.raises(DataError, match=r"\(2, 4, 4\)"):
        scores.add(np.zeros((2, 4, 4)))
    with pytest.raises(DataError, match=r"mask has shape \(4, 5\) and the map \(4, 4\)"):
        scores.add(np.zeros((4, 4)), np.zeros((4, 5)))
    broken = np.zeros((4, 4))
    broken[2, 3] = np.nan
    with pytest.raises(DataError, match="nan at row 2, column 3"):
        scores.add(broken)
    with pytest.raises(DataError, match="inf at row 0, column 0"):
        scores.add(np.full((4, 4), 1e60))
    assert scores.pixels == 0
