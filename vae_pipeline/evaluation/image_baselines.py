"""The simple detectors of images that stand beside the VAE in every table, on the same split."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import ndimage

from vae_pipeline.errors import DataError
from vae_pipeline.features.stored_images import Pixels

__all__ = ["IMAGE_DESCRIPTIONS", "ImageBaseline", "Images", "PatchKnn", "PixelPca", "PixelZ", "run_image_baselines"]

Progress = Callable[[str], None]

IMAGE_DESCRIPTIONS = {
    "pixel_pca": "squared error of rebuilding the small image from 50 principal components, its mean",
    "pixel_z": "|z| of every pixel of the small, blurred image, mean of the highest 1 %, no network",
    "patch_knn": "distance of 8 x 8 patches to their nearest among 10,000 normal ones, mean of the highest 1 %",
}

BATCH = 32
SMALL = 64
FIT_IMAGES = 1000
COMPONENTS = 50
BLUR = 1.0
PATCH = 8
STEP = 2
PATCHES = 10_000
WHITENED = 32
TOP = 0.01


@dataclass(frozen=True, eq=False)
class Images:
    """Some of the images of an array or file; nothing is copied before a batch is asked for.

    Attributes:
        pixels: shape (images, height, width, 3), uint8, height and width equal.
        index: which of them, in order, int (n,).
    """

    pixels: Pixels
    index: np.ndarray

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        if self.pixels.dtype != np.uint8 or len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3:
            msg = f"images: pixels are {self.pixels.dtype} {shape}; give uint8 of shape (images, size, size, 3)"
            raise DataError(msg)

    def __len__(self) -> int:
        return len(self.index)

    @property
    def size(self) -> int:
        """Pixels on a side."""
        return self.pixels.shape[1]

    def batches(self, most: int = BATCH) -> Iterator[np.ndarray]:
        """The images in order, at most ``most`` at a time, uint8 (n, size, size, 3)."""
        for first in range(0, len(self), most):
            yield np.asarray(self.pixels[self.index[first : first + most]])

    def sample(self, most: int, seed: int) -> "Images":
        """At most ``most`` of the images, drawn without replacement and kept in order."""
        if len(self) <= most:
            return self
        chosen = np.random.default_rng(seed).choice(len(self), most, replace=False)
        return Images(self.pixels, self.index[np.sort(chosen)])


class ImageBaseline(Protocol):
    """What every baseline can do."""

    def fit(self, images: Images) -> None:
        """Learn from normal images of the fit part."""
        ...

    def maps(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores and maps of uint8 images (n, size, size, 3).

        Returns:
            Scores, the higher the more anomalous, float64 (n,), and maps, float32 (n, side, side), side at most 64.
        """
        ...


class PixelPca:
    """Error of rebuilding the image, averaged down to 64 x 64 pixels, from at most 50 principal components.

    Fitted on at most 1,000 images, whose products with each other (1,000, 1,000) take the place of the covariance.
    The map is the squared error in grey levels, averaged over colours; the score is its mean.
    """

    def __init__(self, seed: int = 0, components: int = COMPONENTS) -> None:
        """``seed`` draws the images to fit on when there are too many."""
        self.seed = seed
        self.components = components

    def fit(self, images: Images) -> None:
        """Learn mean and principal axes."""
        from scipy.linalg import eigh

        batches = images.sample(FIT_IMAGES, self.seed).batches()
        flat = np.concatenate([_shrunk(batch).reshape(len(batch), -1) for batch in batches])
        self.mean = flat.mean(axis=0, dtype=np.float64).astype(np.float32)
        flat -= self.mean
        kept = min(self.components, len(flat) - 1)
        self.axes = np.zeros((0, flat.shape[1]), dtype=np.float32)
        if kept > 0:
            products = (flat @ flat.T).astype(np.float64)
            length, vectors = eigh(products, subset_by_index=(len(flat) - kept, len(flat) - 1))
            real = length > 1e-9 * max(length[-1], 1e-9)
            self.axes = (vectors[:, real] / np.sqrt(length[real])).T.astype(np.float32) @ flat

    def maps(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores (n,) and maps (n, side, side)."""
        small = _shrunk(batch)
        flat = small.reshape(len(batch), -1) - self.mean
        rest = flat - (flat @ self.axes.T) @ self.axes
        found = (rest.reshape(small.shape) ** 2).mean(axis=3)
        return found.mean(axis=(1, 2), dtype=np.float64), found


class PixelZ:
    """How many standard deviations every pixel lies from its mean over normal images.

    Images are averaged down to 64 x 64 pixels and blurred (sd 1 pixel); one grey level is added to the deviation. The
    map is |z| averaged over colours; the score is the mean of its highest 1 %.
    """

    def fit(self, images: Images) -> None:
        """Learn mean and standard deviation of every pixel, batch by batch."""
        # a first guess of the mean keeps the sum of squares from cancelling
        shift = _blurred(next(images.batches(1)))[0].astype(np.float64)
        total, squares = np.zeros_like(shift), np.zeros_like(shift)
        for batch in images.batches():
            small = _blurred(batch) - shift
            total += small.sum(axis=0)
            squares += (small**2).sum(axis=0)
        mean = total / len(images)
        self.mean = (shift + mean).astype(np.float32)
        self.deviation = (np.sqrt(np.maximum(squares / len(images) - mean**2, 0.0)) + 1.0).astype(np.float32)

    def maps(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores (n,) and maps (n, side, side)."""
        found = np.abs((_blurred(batch) - self.mean) / self.deviation).mean(axis=3)
        return _top(found), found


class PatchKnn:
    """Distance of every local patch to the nearest of at most 10,000 normal patches.

    Patches of 8 x 8 pixels are cut, every 2 pixels, from the image averaged down to half its size, 32 to 64 pixels.
    Each is described by its grey values less their mean and divided by their contrast, and by its mean colour;
    principal components of unit variance, at most 32, make distances. A seeded draw over all fit images takes the
    place of a coreset. The map is the distance, laid between the patches' centres; the score is the mean of the
    highest 1 %.
    """

    def __init__(self, seed: int = 0) -> None:
        """``seed`` draws the normal patches."""
        self.seed = seed

    def fit(self, images: Images) -> None:
        """Draw normal patches and whiten them."""
        images = images.sample(FIT_IMAGES, self.seed)
        generator = np.random.default_rng(self.seed)
        share = -(-PATCHES // len(images))
        drawn = []
        for batch in images.batches():
            for patches in _patches(batch):
                flat = patches.reshape(-1, patches.shape[-1])
                drawn.append(flat[generator.permutation(len(flat))[:share]])
        chosen = generator.permutation(np.concatenate(drawn))[:PATCHES]
        self.mean = chosen.mean(axis=0)
        variance, axes = np.linalg.eigh(np.cov(chosen, rowvar=False) if len(chosen) > 1 else np.eye(chosen.shape[1]))
        variance, axes = variance[::-1][:WHITENED], axes[:, ::-1][:, :WHITENED]
        real = variance > 1e-6 * max(variance[0], 1e-9)
        self.axes = (axes[:, real] / np.sqrt(variance[real])).astype(np.float32)
        self.normal = self._whitened(chosen)
        self.squares = (self.normal**2).sum(axis=1)

    def maps(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores (n,) and maps (n, side, side)."""
        patches = _patches(batch)
        found = np.stack(
            [self._distances(self._whitened(one)) for one in patches.reshape(len(batch), -1, self.mean.size)]
        )
        found = found.reshape(patches.shape[:3])
        return _top(found), _between(found, batch.shape[1])

    def _whitened(self, patches: np.ndarray) -> np.ndarray:
        return (patches - self.mean) @ self.axes

    def _distances(self, patches: np.ndarray) -> np.ndarray:
        nearest = (self.squares - 2 * (patches @ self.normal.T)).min(axis=1) + (patches**2).sum(axis=1)
        return np.sqrt(np.maximum(nearest, 0.0))


def run_image_baselines(
    fit_images: Images, test_images: Images, seed: int = 0, progress: Progress | None = None
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Fit every baseline on normal images and score others, batch by batch.

    Args:
        fit_images: normal images of the fit part.
        test_images: images to score, of the same size.
        seed: of everything random.
        progress: told the name of each baseline before it runs.

    Returns:
        baseline -> scores, float64 (n,), and maps, float16 (n, side, side), side at most 64 (8 kB an image); bring a
        map to the mask's size before pixels are counted.

    Raises:
        DataError: there is no fit image, or the sizes differ.
    """
    if len(fit_images) == 0:
        msg = "image baselines: the fit part has no images; use more normal images"
        raise DataError(msg)
    if fit_images.size != test_images.size:
        msg = f"image baselines: fit images have {fit_images.size} pixels on a side, test images {test_images.size}"
        raise DataError(msg)
    baselines: dict[str, ImageBaseline] = {
        "pixel_pca": PixelPca(seed),
        "pixel_z": PixelZ(),
        "patch_knn": PatchKnn(seed),
    }
    side = min(SMALL, fit_images.size)
    result = {}
    for name, baseline in baselines.items():
        if progress is not None:
            progress(name)
        baseline.fit(fit_images)
        scores = np.zeros(len(test_images))
        maps = np.zeros((len(test_images), side, side), dtype=np.float16)
        first = 0
        for batch in test_images.batches():
            last = first + len(batch)
            scores[first:last], found = baseline.maps(batch)
            maps[first:last] = np.minimum(found, np.finfo(np.float16).max)
            first = last
        result[name] = (scores, maps)
    return result


def _shrunk(batch: np.ndarray, side: int = SMALL) -> np.ndarray:
    """Images averaged over areas down to at most ``side`` pixels a side, grey levels, float32 (n, side, side, 3)."""
    size = batch.shape[1]
    if size <= side:
        return batch.astype(np.float32)
    edges = np.linspace(0, size, side + 1)
    pixel = np.arange(size)
    # how much of each old pixel lies in each new one
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    area = (np.clip(overlap, 0.0, None) * side / size).astype(np.float32)
    rows = np.tensordot(batch.astype(np.float32), area, axes=(1, 1))
    return np.ascontiguousarray(np.tensordot(rows, area, axes=(1, 1)).transpose(0, 2, 3, 1))


def _blurred(batch: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter(_shrunk(batch), (0, BLUR, BLUR, 0), mode="nearest")


def _patches(batch: np.ndarray) -> np.ndarray:
    """Every patch's description, float32 (n, rows, columns, 67)."""
    small = _shrunk(batch, _half(batch.shape[1]))
    corners = _corners(small.shape[1])
    cells = corners[:, None] + np.arange(PATCH)
    patches = small[:, cells[:, None, :, None], cells[None, :, None, :]]
    colour = patches.mean(axis=(3, 4))
    grey = patches.mean(axis=5).reshape(*colour.shape[:3], -1)
    grey -= grey.mean(axis=3, keepdims=True)
    # eight grey levels keep noise of even areas from looking like structure
    grey /= np.sqrt((grey**2).mean(axis=3, keepdims=True) + 8.0**2)
    return np.concatenate([grey, colour / 32.0], axis=3)


def _half(size: int) -> int:
    return min(max(size // 2, SMALL // 2), SMALL)


def _corners(size: int) -> np.ndarray:
    return np.arange(0, size - PATCH + 1, STEP)


def _between(found: np.ndarray, size: int) -> np.ndarray:
    """Values at patches' centres as maps (n, side, side): linear in between, the outermost kept to the edge."""
    half, side = _half(size), min(SMALL, size)
    centres = (_corners(half) + PATCH / 2) / half
    at = (np.arange(side) + 0.5) / side
    weight = np.stack([np.interp(at, centres, one) for one in np.eye(len(centres))], axis=1).astype(np.float32)
    return np.einsum("ij,njk,lk->nil", weight, found.astype(np.float32), weight, optimize=True)


def _top(found: np.ndarray) -> np.ndarray:
    """Mean of each map's highest 1 %, at least one value, float64 (n,)."""
    flat = found.reshape(len(found), -1)
    count = max(1, round(TOP * flat.shape[1]))
    return np.partition(flat, -count, axis=1)[:, -count:].mean(axis=1, dtype=np.float64)
