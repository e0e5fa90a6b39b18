"""Objects that lie anyhow, brought to one place and turn.

A picture is compared with an exemplar at every turn. At a small size its local mean is taken off, and its colours are
decorrelated and brought to one spread: gleam and shadow, which do not turn with the object, are nearly colourless and
so count as one channel of three. Shifts come from cross-correlation by FFT (Kuglin and Hines, The phase correlation
image alignment method, 1975, without its whitening of frequencies); between turns that correlate alike, as those of a
part with six holes do, the one is taken whose worst places differ least.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from scipy.ndimage import affine_transform, gaussian_filter

from vae_pipeline.features.blur import blurred
from vae_pipeline.features.pictures import resized
from vae_pipeline.features.stored_images import Pixels

__all__ = ["Placement", "Registration", "restored", "straightened"]

SIDE = 64
STEP = 1.0
"""Degrees from one turn that is tried to the next."""
FINE, COARSE = 0.7, 5.0
"""Standard deviations, in pixels at `SIDE`, of the blur that takes noise off and of that which gives the local mean."""
CLIPPED = 1.5
"""Standard deviations from which on a difference to the local mean counts no more."""
GREY = 0.01
"""Least variance of a decorrelated colour, of the greatest: one that is next to nothing is not blown up."""
FARTHEST = 12
"""Pixels at `SIDE` that an object is looked for from the exemplar's place, each way."""
CANDIDATES = 12
NEAR = 2
"""Steps around a candidate that are tried as well."""
WORST = 0.03
"""Share of the picture, where it differs most, that decides between candidates."""
_COST_BLUR = 1.5
LEARNT_FROM = 120
ROUNDS = 3
_LOOKED_AT = np.arange(-FARTHEST, FARTHEST + 1)
LEAST_REMOVED = 0.15
"""Share of the variance between pictures that registration has to remove to be of use."""


class Placement(NamedTuple):
    """How an object lies, against the exemplar: ``turn`` in degrees, ``down`` and ``right`` in shares of the side."""

    turn: float
    down: float
    right: float

    @property
    def matrix(self) -> np.ndarray:
        """Takes a place (down, right) on the exemplar, from the centre, to the turned object's, shape (2, 2)."""
        cos, sin = np.cos(np.deg2rad(self.turn)), np.sin(np.deg2rad(self.turn))
        return np.array([[cos, -sin], [sin, cos]])


@dataclass(frozen=True, eq=False)
class Registration:
    """Where an object lies in a picture.

    Attributes:
        exemplar: the object as it lies by definition, float32 (3, side, side) in decorrelated colours.
        colours: takes red, green and blue less their local mean to decorrelated colours, float32 (3, 3).
        removed: by how much less the pictures it was learnt from vary, as a share, when they are registered instead of
            turned at random.
    """

    exemplar: np.ndarray
    colours: np.ndarray
    removed: float

    @classmethod
    def learnt(cls, pixels: Pixels, index: np.ndarray) -> "Registration":
        """An exemplar of the images ``pixels[index]``, uint8 (n, size, size, 3).

        The first image is the first exemplar; then, round for round, it is the mean of that half of the images that
        matches best, with what all of them turn about in its centre.
        """
        chosen = index[np.linspace(0, len(index) - 1, min(LEARNT_FROM, len(index))).round().astype(np.int64)]
        small = [_small(pixels[place]) for place in chosen]
        colours = _decorrelating(small)
        pictures = [_seen(image, colours) for image in small]
        found, placements = cls(pictures[0], colours, 0.0), []
        for _ in range(ROUNDS):
            matches, costs = zip(*(found._match(picture) for picture in pictures), strict=True)
            placements = _centred(matches)
            best = np.argsort(costs, kind="stable")[: -(-len(costs) // 2)]
            found = cls(_placed(pictures, placements)[best].mean(0), colours, 0.0)
        turns = np.random.default_rng(0).uniform(0.0, 360.0, len(placements))
        at_random = [each._replace(turn=float(turn)) for each, turn in zip(placements, turns, strict=True)]
        spread = _spread(_placed(pictures, at_random))
        return replace(found, removed=1.0 - _spread(_placed(pictures, placements)) / spread if spread else 0.0)

    @property
    def useful(self) -> bool:
        """Whether registered pictures are alike; surfaces, and objects that show another side each, are not."""
        return self.removed > LEAST_REMOVED

    def placement(self, image: np.ndarray) -> Placement:
        """How the object lies in an image, uint8 (size, size, 3)."""
        return self._match(_seen(_small(image), self.colours))[0]

    def to_arrays(self) -> dict[str, np.ndarray]:
        """What `from_arrays` takes."""
        return {"exemplar": self.exemplar, "colours": self.colours, "removed": np.array(self.removed)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Registration":
        """The registration whose arrays these are."""
        return cls(arrays["exemplar"], arrays["colours"], float(arrays["removed"]))

    @cached_property
    def _turned(self) -> np.ndarray:
        """The exemplar at every turn, float32 (n_turns, 3, side, side)."""
        masked = self.exemplar * _DISC
        turns = (Placement(-turn, 0.0, 0.0) for turn in np.arange(0.0, 360.0, STEP))
        return np.stack([_resampled(masked, turn) * _DISC for turn in turns])

    @cached_property
    def _spectra(self) -> np.ndarray:
        """Of every channel at every turn, complex64 (3, n_turns, side, side // 2 + 1)."""
        return np.ascontiguousarray(np.conj(np.fft.rfft2(self._turned)).transpose(1, 0, 2, 3))

    def _correlation(self, picture: np.ndarray, turns: slice) -> np.ndarray:
        """With every shift that is looked at, shape (n_turns, 2 * FARTHEST + 1, 2 * FARTHEST + 1)."""
        product = sum(
            each * spectra for each, spectra in zip(np.fft.rfft2(picture), self._spectra[:, turns], strict=True)
        )
        # the second of the two inverse transforms is made for the shifts that are looked at alone
        rows = np.fft.ifft(product, axis=1)[:, _LOOKED_AT]
        return np.fft.irfft(rows, SIDE, axis=2)[:, :, _LOOKED_AT]

    def _match(self, picture: np.ndarray) -> tuple[Placement, float]:
        """The placement of a picture, float32 (3, side, side), and by how much its worst places differ."""
        values = self._correlation(picture, slice(None)).reshape(len(self._turned), -1)
        highest, shifts = values.max(1), np.stack(np.divmod(values.argmax(1), 2 * FARTHEST + 1), 1) - FARTHEST
        candidates = _candidates(highest)
        near = np.array([_near(turn) for turn in candidates])
        costs = self._costs(picture, near.ravel(), shifts).reshape(near.shape).min(1)
        cheapest = int(costs.argmin())
        turn = candidates[cheapest]
        around = self._correlation(picture, slice(turn, turn + 1))[0]
        down, right = shifts[turn] + FARTHEST
        fine = (
            shifts[turn][0] + _summit(*_three(around[:, right], down)),
            shifts[turn][1] + _summit(*_three(around[down], right)),
        )
        turned = (turn + _summit(*highest[np.arange(turn - 1, turn + 2) % len(highest)])) * STEP
        return Placement(float(turned), float(fine[0] / SIDE), float(fine[1] / SIDE)), float(costs[cheapest])

    def _costs(self, picture: np.ndarray, turns: np.ndarray, shifts: np.ndarray) -> np.ndarray:
        """By how much the worst places differ at some turns, each with its own of ``shifts``, shape (n,)."""
        around = np.pad(picture, ((0, 0), (FARTHEST, FARTHEST), (FARTHEST, FARTHEST)), mode="wrap")
        corners = (shifts[turns] + FARTHEST).tolist()
        moved = np.stack([around[:, down : down + SIDE, right : right + SIDE] for down, right in corners])
        difference = blurred(np.abs(moved - self._turned[turns]).max(1) * _DISC, _COST_BLUR).reshape(len(turns), -1)
        count = round(WORST * difference.shape[1])
        return np.partition(difference, -count, axis=1)[:, -count:].mean(1)


def straightened(image: np.ndarray, placement: Placement) -> np.ndarray:
    """The image, uint8 (size, size, 3), moved and turned so that its object lies as the exemplar does.

    Where it has no pixels it gets the median colour of its rim.
    """
    size = len(image)
    rim = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    background = tuple(int(value) for value in np.median(rim, axis=0))
    matrix, middle = placement.matrix[::-1, ::-1], np.full(2, size / 2)  # Pillow has (right, down)
    start = middle + size * np.array([placement.right, placement.down]) - matrix @ middle
    return np.array(
        Image.fromarray(image).transform(
            (size, size),
            Image.Transform.AFFINE,
            (*matrix[0], start[0], *matrix[1], start[1]),
            Image.Resampling.BICUBIC,
            fillcolor=background,
        )
    )


def restored(score_map: np.ndarray, placement: Placement | None) -> np.ndarray:
    """A map of a stored image, (size, size), as it lies on the image that came; at the rim it is continued.

    ``placement`` is None where the image was left as it came.
    """
    if placement is None:
        return score_map
    size = len(score_map)
    back = placement.matrix.T
    middle = np.full(2, (size - 1) / 2)
    start: Any = middle - back @ (middle + size * np.array([placement.down, placement.right]))
    return affine_transform(score_map.astype(np.float32), back, start, order=1, mode="nearest")


def _disc() -> np.ndarray:
    place = np.arange(SIDE) - (SIDE - 1) / 2
    return (np.hypot(place[:, None], place) < SIDE / 2 - 1).astype(np.float32)


_DISC = _disc()
"""What of a picture stays in it at every turn."""


def _small(image: np.ndarray) -> np.ndarray:
    """The image without its local mean, float32 (3, side, side)."""
    values = resized(image, SIDE).transpose(2, 0, 1).astype(np.float32)
    return gaussian_filter(values, (0, FINE, FINE)) - gaussian_filter(values, (0, COARSE, COARSE))


def _decorrelating(pictures: list[np.ndarray]) -> np.ndarray:
    colours = np.stack(pictures, 1).reshape(3, -1)
    variance, directions = np.linalg.eigh(colours @ colours.T / colours.shape[1])
    least = max(GREY * float(variance[-1]), 1e-6)
    return (directions / np.sqrt(variance + least)).astype(np.float32)


def _seen(small: np.ndarray, colours: np.ndarray) -> np.ndarray:
    return np.clip(np.einsum("chw,cd->dhw", small, colours), -CLIPPED, CLIPPED)


def _resampled(picture: np.ndarray, placement: Placement) -> np.ndarray:
    """A picture, float32 (3, side, side), straightened; nothing where it has no pixels."""
    matrix, middle = placement.matrix, np.full(2, (SIDE - 1) / 2)
    offset: Any = middle + SIDE * np.array([placement.down, placement.right]) - matrix @ middle
    return np.stack([affine_transform(channel, matrix, offset, order=1) for channel in picture])


def _placed(pictures: Sequence[np.ndarray], placements: Sequence[Placement]) -> np.ndarray:
    return np.stack([_resampled(*each) for each in zip(pictures, placements, strict=True)])


def _centred(placements: Sequence[Placement]) -> list[Placement]:
    """The placements against an exemplar moved so that what all turn about is its centre."""
    shifts = np.array([(each.down, each.right) for each in placements])
    centre = -np.mean([each.matrix.T @ shift for each, shift in zip(placements, shifts, strict=True)], axis=0)
    moved = [shift + each.matrix @ centre for each, shift in zip(placements, shifts, strict=True)]
    return [Placement(each.turn, float(to[0]), float(to[1])) for each, to in zip(placements, moved, strict=True)]


def _spread(pictures: np.ndarray) -> float:
    return float((pictures.var(0) * _DISC).sum())


def _candidates(highest: np.ndarray) -> list[int]:
    """The highest of the local maxima of what is highest at each turn, shape (n_turns,)."""
    maxima = np.flatnonzero((highest >= np.roll(highest, 1)) & (highest >= np.roll(highest, -1)))
    return maxima[np.argsort(-highest[maxima], kind="stable")][:CANDIDATES].tolist()


def _near(turn: int) -> list[int]:
    return [(turn + step) % round(360.0 / STEP) for step in range(-NEAR, NEAR + 1)]


def _three(values: np.ndarray, place: int) -> np.ndarray:
    """The value at a place and its neighbours; at the edge itself three times."""
    return values[place - 1 : place + 2] if 0 < place < len(values) - 1 else np.full(3, values[place])


def _summit(before: float, at: float, after: float) -> float:
    """Where the parabola through three neighbouring values is highest, from the middle one, at most half a step."""
    bend = before - 2 * at + after
    return float(np.clip((before - after) / (2 * bend), -0.5, 0.5)) if bend < 0 else 0.0
