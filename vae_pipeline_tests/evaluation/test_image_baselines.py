import tracemalloc

import numpy as np
import pytest
from scipy import ndimage
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from vae_pipeline.errors import DataError
from vae_pipeline.evaluation import image_baselines as module
from vae_pipeline.evaluation.image_baselines import (
    IMAGE_DESCRIPTIONS,
    Images,
    PatchKnn,
    PixelPca,
    PixelZ,
    run_image_baselines,
)

MODELS = [PixelPca, PixelZ, PatchKnn]


def products(count, *, size=64, seed=0, spots=False):
    """Images of a grey disc on a lighter ground, a little brighter or darker each; spots are dark squares on it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size - 0.5
    disc = np.where(np.hypot(y, x) < 0.35, 90.0, 200.0)
    images = (
        disc[None, :, :, None] + rng.normal(size=(count, 1, 1, 3)) * 6 + rng.normal(size=(count, size, size, 3)) * 4
    )
    masks = np.zeros((count, size, size), dtype=bool)
    if spots:
        extent = size // 8
        for i in range(count):
            top, left = rng.integers(size // 3, size // 2, 2)
            masks[i, top : top + extent, left : left + extent] = True
        images[masks] -= 60
    return np.clip(images, 0, 255).astype(np.uint8), masks


def images(pixels):
    return Images(pixels, np.arange(len(pixels)))


@pytest.fixture(scope="module")
def found():
    good, (bad, masks) = products(12, seed=1)[0], products(12, seed=2, spots=True)
    told = []
    fit = images(products(40)[0])
    results = run_image_baselines(fit, images(np.concatenate([good, bad])), seed=0, progress=told.append)
    return results, told, masks


def test_every_baseline_is_described_and_told(found):
    results, told, _ = found
    assert list(results) == told
    assert set(results) == set(IMAGE_DESCRIPTIONS)


@pytest.mark.parametrize("name", sorted(IMAGE_DESCRIPTIONS))
def test_every_baseline_finds_and_places_plain_spots(found, name):
    scores, maps = found[0][name]
    assert scores.dtype == np.float64
    assert maps.dtype == np.float16
    assert maps.shape == (24, 64, 64)
    assert roc_auc_score(np.repeat([0, 1], 12), scores) == 1.0
    pixels = roc_auc_score(found[2].ravel(), maps[12:].astype(np.float32).ravel())
    assert pixels > 0.95


@pytest.mark.parametrize("model", MODELS)
def test_scores_do_not_depend_on_batches_or_company(model, monkeypatch):
    fit, test = products(20)[0], products(5, seed=3, spots=True)[0]
    whole = model()
    whole.fit(images(fit))
    scores, maps = whole.maps(test)
    monkeypatch.setattr(module, "BATCH", 7)
    pieces = model()
    pieces.fit(Images(np.concatenate([fit[:3] * 0, fit]), np.arange(3, 23)))
    for i in range(5):
        score, one = pieces.maps(test[i : i + 1])
        assert score[0] == pytest.approx(scores[i], rel=1e-3)
        assert one[0] == pytest.approx(maps[i], rel=1e-2, abs=1e-2)


@pytest.mark.parametrize("size", [32, 64, 96, 160])
def test_maps_are_small_and_lie_where_the_image_does(size):
    fit, test = products(12, size=size)[0], products(1, size=size, seed=5)[0]
    low, high = round(0.3 * size), round(0.6 * size)
    extent = size // 8
    test[0, high : high + extent, low : low + extent] = 255
    side = min(64, size)
    for name, (_, maps) in run_image_baselines(images(fit), images(test)).items():
        assert maps.shape == (1, side, side)
        one = maps[0].astype(float)
        middle = np.array(ndimage.center_of_mass(one >= np.quantile(one, 0.99))) / side
        # a patch is a quarter of the smallest images
        assert middle == pytest.approx(np.array([0.66, 0.36]), abs=0.1), name


def test_small_images_are_averages_over_areas():
    batch = products(2, size=96)[0]
    assert module._shrunk(batch, 32) == pytest.approx(batch.reshape(2, 32, 3, 32, 3, 3).mean(axis=(2, 4)), abs=1e-3)
    # two pixels out of three: each takes one and a half
    line = np.zeros((1, 3, 3, 3), dtype=np.uint8)
    line[0, :, 1] = 90
    assert module._shrunk(line, 2)[0, :, :, 0] == pytest.approx(np.full((2, 2), 30.0))
    assert module._shrunk(batch, 96) == pytest.approx(batch.astype(float))


def test_pixel_pca_equals_sklearn():
    fit, test = products(30, size=32)[0], products(4, size=32, seed=9, spots=True)[0]
    mine = PixelPca(components=5)
    mine.fit(images(fit))
    scores, maps = mine.maps(test)
    model = PCA(5, svd_solver="full").fit(fit.reshape(30, -1).astype(float))
    flat = test.reshape(4, -1).astype(float)
    error = (flat - model.inverse_transform(model.transform(flat))).reshape(4, 32, 32, 3) ** 2
    assert maps == pytest.approx(error.mean(axis=3), rel=1e-3, abs=1e-2)
    assert scores == pytest.approx(error.mean(axis=(1, 2, 3)), rel=1e-4)


def test_pixel_z_is_the_distance_in_deviations():
    fit, test = products(30, size=32)[0], products(4, size=32, seed=9, spots=True)[0]
    model = PixelZ()
    model.fit(images(fit))
    scores, maps = model.maps(test)
    blurred = [ndimage.gaussian_filter(part.astype(float), (0, 1, 1, 0), mode="nearest") for part in (fit, test)]
    expected = np.abs(blurred[1] - blurred[0].mean(axis=0)) / (blurred[0].std(axis=0) + 1)
    assert maps == pytest.approx(expected.mean(axis=3), rel=1e-3, abs=1e-3)
    assert scores == pytest.approx(np.sort(maps.reshape(4, -1), axis=1)[:, -10:].mean(axis=1))


def test_patch_distances_equal_nearest_neighbours():
    fit, test = products(6)[0], products(3, seed=9, spots=True)[0]
    model = PatchKnn()
    model.fit(images(fit))
    flat = model._whitened(module._patches(test).reshape(-1, 67))
    near = NearestNeighbors(n_neighbors=1).fit(model.normal).kneighbors(flat)[0][:, 0]
    assert model._distances(flat) == pytest.approx(near, rel=1e-3, abs=1e-2)
    assert model.normal.std(axis=0) == pytest.approx(np.ones(32), rel=0.01)


def test_patches_are_as_many_as_allowed(monkeypatch):
    monkeypatch.setattr(module, "PATCHES", 100)
    model = PatchKnn()
    model.fit(images(products(12)[0]))
    assert len(model.normal) == 100


def test_the_seed_decides():
    fit, test = images(products(60)[0]), images(products(3, seed=4)[0])
    first, again, other = (run_image_baselines(fit, test, seed)["patch_knn"][0] for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("pixels", [products(1)[0], np.full((5, 64, 64, 3), 128, dtype=np.uint8)])
def test_one_image_and_constant_images_do_no_harm(pixels):
    for scores, maps in run_image_baselines(images(pixels), images(products(3, seed=2)[0])).values():
        assert np.isfinite(scores).all()
        assert np.isfinite(maps).all()


def test_no_test_image_gives_empty_results():
    pixels = products(5)[0]
    for scores, maps in run_image_baselines(images(pixels), Images(pixels, np.arange(0))).values():
        assert scores.shape == (0,)
        assert maps.shape == (0, 64, 64)


def test_memory_does_not_grow_with_the_fit_images(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FIT_IMAGES", 60)
    monkeypatch.setattr(module, "PATCHES", 500)
    path = tmp_path / "pixels.npy"
    np.save(path, np.tile(products(60)[0], (10, 1, 1, 1)))
    pixels = np.load(path, mmap_mode="r")
    tracemalloc.start()
    peaks = []
    for count in (60, 600):
        tracemalloc.reset_peak()
        run_image_baselines(Images(pixels, np.arange(count)), Images(pixels, np.arange(2)))
        peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


def test_unfit_images_are_refused():
    pixels = products(4)[0]
    with pytest.raises(DataError, match="float32"):
        images(pixels.astype(np.float32))
    with pytest.raises(DataError, match=r"\(4, 64, 64\)"):
        images(pixels[..., 0])
    with pytest.raises(DataError, match="no images"):
        run_image_baselines(Images(pixels, np.arange(0)), images(pixels))
    with pytest.raises(DataError, match="64 pixels on a side, test images 32"):
        run_image_baselines(images(pixels), images(products(2, size=32)[0]))
