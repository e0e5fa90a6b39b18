"""Synthetic anomalies cut from normal images, with exact masks: what the network learns to remove and the head to find.

Kinds a network is trained on:

- ``cut_paste``: a patch of another image, turned and recoloured (Li et al., CutPaste, CVPR 2021),
- ``scar``: the same, long and thin,
- ``perlin``: a cloud of Perlin noise filled with another image's colours (Zavrtanik et al., DRAEM, ICCV 2021),
- ``poisson``: a patch of another image whose gradients are blended in without a seam (Schlüter et al., NSA, ECCV 2022).

Kinds kept for choosing between scores, which no network has seen:

- ``erased``: a region filled from its rim, as if a part were missing,
- ``drawn``: a spot or scratch of one colour,
- ``bent``: a region displaced locally.

Images are float32 in [0, 1] of shape (channels, height, width). The mask is where the image changed visibly.
"""

from typing import Literal

import numpy as np
from scipy.fft import dstn, idstn
from scipy.ndimage import binary_closing, gaussian_filter, map_coordinates

from vae_pipeline.features.stored_images import Pixels
from vae_pipeline.features.windows import evenly

__all__ = ["HELD_OUT", "TRAINED", "Kind", "as_pictures", "inject", "planes", "salience", "with_anomalies"]

Kind = Literal["cut_paste", "scar", "perlin", "poisson", "erased", "drawn", "bent"]
TRAINED: tuple[Kind, ...] = ("cut_paste", "scar", "perlin", "poisson")
HELD_OUT: tuple[Kind, ...] = ("erased", "drawn", "bent")

VISIBLE = 0.03
"""Change of a pixel, as a share of full scale, from which it counts as anomalous."""

_SMALLEST_SHARE = 0.0005
_LOOKED_AT = 64
_TRIES = 4


def salience(images: Pixels, index: np.ndarray) -> np.ndarray:
    """Where images have something on them: the chance that an anomaly is put there, shape (height, width), sum 1.

    Half of it follows the gradient of some of the images, half is spread evenly.

    Args:
        images: uint8 (n_images, height, width, 3).
        index: the normal ones to look at, shape (n,).
    """
    some = index[evenly(len(index), _LOOKED_AT)]
    grey = planes(images[some]).mean(1, dtype=np.float64)
    steps = np.abs(np.diff(grey, axis=1, append=grey[:, -1:])) + np.abs(np.diff(grey, axis=2, append=grey[:, :, -1:]))
    weight = gaussian_filter(steps.mean(0), images.shape[1] / 24)
    even = np.full(weight.shape, 1.0 / weight.size)
    return even if weight.sum() <= 0 else 0.5 * weight / weight.sum() + 0.5 * even


def inject(
    image: np.ndarray, donor: np.ndarray, kind: Kind, place: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The image with one anomaly, and its mask, boolean of shape (height, width).

    A change that turned out invisible is tried again a few times; the mask is empty if none could be seen.

    Args:
        image: shape (channels, height, width), left as it is.
        donor: another normal image of the same shape.
        kind: see the module.
        place: chance of each pixel to be the anomaly's centre, as `salience` gives it.
        random: the generator.
    """
    changed, mask = image, np.zeros(image.shape[1:], dtype=bool)
    for _ in range(_TRIES):
        changed = np.clip(_MAKERS[kind](image, donor, place, random), 0.0, 1.0).astype(np.float32)
        seen = np.abs(changed - image).max(0) > VISIBLE
        mask = seen | binary_closing(seen)  # closing alone takes off what lies on the rim of the image
        if mask.mean() >= _SMALLEST_SHARE:
            break
    return changed, mask


def with_anomalies(
    images: np.ndarray,
    donors: np.ndarray,
    chosen: np.ndarray,
    kinds: tuple[Kind, ...],
    place: np.ndarray,
    random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Copies of images with an anomaly in the chosen ones, and their masks (n, height, width), boolean.

    Args:
        images: shape (n, channels, height, width), float32 in [0, 1].
        donors: as many other normal images of the same shape.
        chosen: which get one, boolean (n,).
        kinds: drawn from with equal chances.
        place: as `salience` gives it.
        random: the generator.
    """
    changed = images.copy()
    masks = np.zeros((len(images), *images.shape[2:]), dtype=bool)
    for number in np.flatnonzero(chosen):
        kind = kinds[int(random.integers(len(kinds)))]
        changed[number], masks[number] = inject(images[number], donors[number], kind, place, random)
    return changed, masks


def planes(images: np.ndarray) -> np.ndarray:
    """uint8 (n, height, width, 3) as float32 (n, 3, height, width) in [0, 1]."""
    return np.ascontiguousarray(np.asarray(images).transpose(0, 3, 1, 2), dtype=np.float32) / np.float32(255)


def as_pictures(values: np.ndarray) -> np.ndarray:
    """The inverse of `planes`: values (n, 3, height, width) in [0, 1] as uint8 images (n, height, width, 3)."""
    return np.ascontiguousarray((values.transpose(0, 2, 3, 1) * 255).round().astype(np.uint8))


def _centre(place: np.ndarray, random: np.random.Generator) -> tuple[int, int]:
    row, column = np.unravel_index(random.choice(place.size, p=place.ravel()), place.shape)
    return int(row), int(column)


def _box(
    place: np.ndarray, random: np.random.Generator, *, low: float = 0.04, high: float = 0.35, centre: bool = True
) -> tuple[slice, slice]:
    """A rectangle with sides between ``low`` and ``high`` of the image's, small ones more often."""
    height, width = place.shape
    sides = low * (high / low) ** random.random(2)
    box_height, box_width = max(4, int(sides[0] * height)), max(4, int(sides[1] * width))
    row, column = _centre(place, random) if centre else (int(random.integers(height)), int(random.integers(width)))
    top = int(np.clip(row - box_height // 2, 0, height - box_height))
    left = int(np.clip(column - box_width // 2, 0, width - box_width))
    return slice(top, top + box_height), slice(left, left + box_width)


def _somewhere(box: tuple[slice, slice], shape: tuple[int, ...], random: np.random.Generator) -> tuple[slice, slice]:
    height, width = box[0].stop - box[0].start, box[1].stop - box[1].start
    top = int(random.integers(shape[0] - height + 1))
    left = int(random.integers(shape[1] - width + 1))
    return slice(top, top + height), slice(left, left + width)


def _recoloured(patch: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Contrast, brightness and a cast of colour changed."""
    mean = patch.mean((1, 2), keepdims=True)
    contrast = random.uniform(0.5, 1.5)
    shift = random.normal(0.0, 0.12) + random.normal(0.0, 0.05, (patch.shape[0], 1, 1))
    return mean + (patch - mean) * contrast + shift


def _stencil(shape: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """Opacity of a patch, shape (height, width): an ellipse or rectangle at any angle, its rim hard or soft."""
    rows, columns = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    angle = random.uniform(0, np.pi)
    across, along = columns * np.cos(angle) + rows * np.sin(angle), rows * np.cos(angle) - columns * np.sin(angle)
    if random.random() < 0.5:
        distance = np.sqrt(across**2 + along**2) * random.uniform(1.0, 1.2)
    else:
        distance = np.maximum(np.abs(across), np.abs(along)) * random.uniform(1.0, 1.4)
    softness = random.choice([0.02, 0.15, 0.5])
    return np.clip((1.0 - distance) / softness, 0.0, 1.0)


def _cut_paste(image: np.ndarray, donor: np.ndarray, place: np.ndarray, random: np.random.Generator) -> np.ndarray:
    box = _box(place, random)
    return _pasted(image, donor, box, random)


def _scar(image: np.ndarray, donor: np.ndarray, place: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A thin curved line, filled from the donor or with one colour."""
    source = donor if random.random() < 0.5 else np.broadcast_to(_colour(image, random), image.shape)
    opacity = _line(image.shape[1:], place, random) * random.uniform(0.3, 1.0)
    return image + opacity * (_recoloured(source, random) - image)


def _pasted(image: np.ndarray, donor: np.ndarray, box: tuple[slice, slice], random: np.random.Generator) -> np.ndarray:
    patch = donor[:, *_somewhere(box, image.shape[1:], random)]
    patch = np.flip(patch, axis=int(random.integers(1, 3)))
    if random.random() < 0.7:
        patch = _recoloured(patch, random)
    opacity = _stencil(patch.shape[1:], random) * random.uniform(0.5, 1.0)
    changed = image.copy()
    changed[:, *box] += opacity * (patch - changed[:, *box])
    return changed


def _perlin(image: np.ndarray, donor: np.ndarray, place: np.ndarray, random: np.random.Generator) -> np.ndarray:
    height, width = image.shape[1:]
    cells = 2 ** random.integers(1, 5, 2)
    noise = _clouds(image.shape[1:], (int(cells[0]), int(cells[1])), random)
    box = _box(place, random, low=0.1, high=0.6)
    near = np.zeros((height, width))
    near[box] = 1.0
    level = np.quantile(noise[box], random.uniform(0.4, 0.8))
    opacity = near * np.clip((noise - level) / random.choice([0.02, 0.1]), 0.0, 1.0)
    source = np.roll(donor, tuple(random.integers(0, (height, width))), axis=(1, 2))
    if random.random() < 0.3:
        source = np.broadcast_to(_colour(image, random), image.shape)
    return image + opacity * random.uniform(0.2, 1.0) * (_recoloured(source, random) - image)


def _clouds(shape: tuple[int, ...], cells: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """Gradient noise (K. Perlin, An image synthesizer, SIGGRAPH 1985) on a grid of ``cells``, shape as given."""
    angles = random.uniform(0, 2 * np.pi, (cells[0] + 1, cells[1] + 1))
    rows = np.linspace(0, cells[0], shape[0], endpoint=False)
    columns = np.linspace(0, cells[1], shape[1], endpoint=False)
    row, column = rows.astype(int)[:, None], columns.astype(int)[None, :]
    down, right = (rows % 1)[:, None], (columns % 1)[None, :]

    def corner(below: int, beside: int) -> np.ndarray:
        angle = angles[row + below, column + beside]
        return np.cos(angle) * (right - beside) + np.sin(angle) * (down - below)

    def faded(t: np.ndarray) -> np.ndarray:
        return t**3 * (t * (t * 6 - 15) + 10)

    top = corner(0, 0) + faded(right) * (corner(0, 1) - corner(0, 0))
    bottom = corner(1, 0) + faded(right) * (corner(1, 1) - corner(1, 0))
    return top + faded(down) * (bottom - top)


def _poisson(image: np.ndarray, donor: np.ndarray, place: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The donor's gradients inside a rectangle, the image's values on its rim."""
    box = _box(place, random, low=0.06, high=0.35)
    target = image[:, *box]
    patch = donor[:, *_somewhere(box, image.shape[1:], random)]
    if random.random() < 0.5:
        patch = np.flip(patch, axis=int(random.integers(1, 3)))
    patch = patch * random.uniform(0.7, 1.6)
    changed = image.copy()
    changed[:, *box] = _membrane(target, patch)
    return changed


def _membrane(target: np.ndarray, guide: np.ndarray) -> np.ndarray:
    """The solution of the Poisson equation with the guide's Laplacian and the target's rim, (channels, height, width).

    P. Pérez et al., Poisson image editing, SIGGRAPH 2003; solved directly by a sine transform.
    """
    # what is solved for is the difference to the guide: harmonic inside, known on the rim
    rim = target - guide
    height, width = target.shape[1] - 2, target.shape[2] - 2
    if height < 1 or width < 1:
        return target
    source = np.zeros((len(target), height, width))
    source[:, 0] -= rim[:, 0, 1:-1]
    source[:, -1] -= rim[:, -1, 1:-1]
    source[:, :, 0] -= rim[:, 1:-1, 0]
    source[:, :, -1] -= rim[:, 1:-1, -1]
    rows = 2 * np.cos(np.pi * np.arange(1, height + 1) / (height + 1)) - 2
    columns = 2 * np.cos(np.pi * np.arange(1, width + 1) / (width + 1)) - 2
    inside = idstn(dstn(source, type=1, axes=(1, 2)) / (rows[:, None] + columns), type=1, axes=(1, 2))
    blended = target.copy()
    blended[:, 1:-1, 1:-1] = guide[:, 1:-1, 1:-1] + inside
    return blended


def _erased(image: np.ndarray, donor: np.ndarray, place: np.ndarray, random: np.random.Generator) -> np.ndarray:
    del donor
    box = _box(place, random, low=0.06, high=0.25)
    changed = image.copy()
    smooth = _membrane(image[:, *box], np.zeros_like(image[:, *box]))
    changed[:, *box] = smooth + random.normal(0.0, 0.01, smooth.shape)
    return changed


def _drawn(image: np.ndarray, donor: np.ndarray, place: np.ndarray, random: np.random.Generator) -> np.ndarray:
    del donor
    colour = _colour(image, random)
    if random.random() < 0.5:
        opacity = _line(image.shape[1:], place, random)
    else:
        box = _box(place, random, low=0.03, high=0.15)
        opacity = np.zeros(image.shape[1:])
        opacity[box] = _stencil(opacity[box].shape, random)
    return image + opacity * random.uniform(0.15, 0.7) * (colour - image)


def _bent(image: np.ndarray, donor: np.ndarray, place: np.ndarray, random: np.random.Generator) -> np.ndarray:
    del donor
    height, width = image.shape[1:]
    row, column = _centre(place, random)
    radius = random.uniform(0.06, 0.16) * height
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    fall = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * radius**2))
    angle = random.uniform(0, 2 * np.pi)
    step = random.uniform(0.4, 0.9) * radius
    where = [rows + step * np.sin(angle) * fall, columns + step * np.cos(angle) * fall]
    return np.stack([map_coordinates(channel, where, order=1, mode="nearest") for channel in image])


def _line(shape: tuple[int, ...], place: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Opacity of a thin bent line, shape (height, width)."""
    height = shape[0]
    row, column = _centre(place, random)
    angle, bend = random.uniform(0, np.pi), random.normal(0.0, 1.5)
    length, thickness = random.uniform(0.08, 0.4) * height, random.uniform(0.4, 2.0) * height / 128
    t = np.linspace(-0.5, 0.5, 24)
    heading = angle + bend * t
    path_rows = row + np.cumsum(np.sin(heading)) * length / len(t)
    path_columns = column + np.cumsum(np.cos(heading)) * length / len(t)
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]]
    nearest = np.full(shape, np.inf)
    for point_row, point_column in zip(path_rows, path_columns, strict=True):
        np.minimum(nearest, (rows - point_row) ** 2 + (columns - point_column) ** 2, out=nearest)
    reach = max(thickness, length / len(t) / 2)
    return np.clip(reach + 0.7 - np.sqrt(nearest), 0.0, 1.0)


def _colour(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A colour of the image, or any other, shape (channels, 1, 1)."""
    if random.random() < 0.5:
        return random.random((image.shape[0], 1, 1))
    row, column = random.integers(0, image.shape[1:])
    return np.clip(image[:, row, column][:, None, None] + random.normal(0, 0.1, (image.shape[0], 1, 1)), 0, 1)


_MAKERS = {
    "cut_paste": _cut_paste,
    "scar": _scar,
    "perlin": _perlin,
    "poisson": _poisson,
    "erased": _erased,
    "drawn": _drawn,
    "bent": _bent,
}
