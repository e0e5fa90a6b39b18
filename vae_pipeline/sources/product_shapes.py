"""Shapes and light that the generated product photographs are made of.

A shape is the signed distance of every point to its outline, float32 (n, n), negative inside. Lengths are shares of
the picture's side; x points right and y down, from the picture's or the part's centre.
"""

import numpy as np
from scipy import ndimage

__all__ = ["OVERSAMPLED", "blob", "box", "capsule", "circle", "cover", "curve", "grid", "lit", "marked", "photographed"]

OVERSAMPLED = 2
"""Points a pixel's side has before they are averaged."""

_MARKED_FROM = 0.2  # share of a pixel that a defect has to cover
_HARMONICS = np.arange(2, 6)
_CURVE_POINTS = 24


def grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates x and y of all points of a picture with ``size`` pixels a side, float32 (n, n), from -0.5 to 0.5."""
    count = size * OVERSAMPLED
    axis = ((np.arange(count) + 0.5) / count - 0.5).astype(np.float32)
    x, y = np.meshgrid(axis, axis)
    return x, y


def cover(distance: np.ndarray) -> np.ndarray:
    """How much of each point lies inside, 0 to 1, with an edge one point wide."""
    return np.clip(0.5 - distance * len(distance), 0.0, 1.0)


def circle(x: np.ndarray, y: np.ndarray, centre: tuple[float, float], radius: float) -> np.ndarray:
    """A disc."""
    return np.hypot(x - centre[0], y - centre[1]) - radius


def box(x: np.ndarray, y: np.ndarray, centre: tuple[float, float], half: tuple[float, float]) -> np.ndarray:
    """An upright rectangle of half width and half height ``half``."""
    return np.maximum(np.abs(x - centre[0]) - half[0], np.abs(y - centre[1]) - half[1])


def capsule(
    x: np.ndarray, y: np.ndarray, start: tuple[float, float], end: tuple[float, float], radius: float
) -> np.ndarray:
    """A line from start to end as thick as a disc of ``radius``."""
    along_x, along_y = end[0] - start[0], end[1] - start[1]
    share = ((x - start[0]) * along_x + (y - start[1]) * along_y) / max(along_x**2 + along_y**2, 1e-12)
    share = np.clip(share, 0.0, 1.0)
    return np.hypot(x - start[0] - share * along_x, y - start[1] - share * along_y) - radius


def blob(
    random: np.random.Generator, x: np.ndarray, y: np.ndarray, centre: tuple[float, float], radius: float
) -> np.ndarray:
    """A disc with a random wavy outline."""
    angle = np.arctan2(y - centre[1], x - centre[0])
    waves = random.normal(0.0, 0.3, len(_HARMONICS)) / _HARMONICS
    phases = random.uniform(0.0, 2.0 * np.pi, len(_HARMONICS))
    outline = np.ones_like(x)
    for number, wave, phase in zip(_HARMONICS, waves, phases, strict=True):
        outline += np.float32(wave) * np.cos(np.float32(number) * angle + np.float32(phase))
    return np.hypot(x - centre[0], y - centre[1]) - radius * np.clip(outline, 0.4, 1.8)


def curve(
    random: np.random.Generator,
    x: np.ndarray,
    y: np.ndarray,
    start: tuple[float, float],
    length: float,
    radius: float,
) -> np.ndarray:
    """A line from ``start`` in a random direction, as thick as a disc of ``radius``, that bends a little."""
    direction = random.uniform(0.0, 2.0 * np.pi) + np.linspace(0.0, random.normal(0.0, 0.6), _CURVE_POINTS)
    step = length / _CURVE_POINTS
    xs = start[0] + np.concatenate([[0.0], np.cumsum(np.cos(direction) * step)])
    ys = start[1] + np.concatenate([[0.0], np.cumsum(np.sin(direction) * step)])
    nearest = np.full_like(x, np.inf)
    for number in range(_CURVE_POINTS):
        ends = (xs[number], ys[number]), (xs[number + 1], ys[number + 1])
        np.minimum(nearest, capsule(x, y, *ends, radius), out=nearest)
    return nearest


def lit(
    colour: np.ndarray, height: np.ndarray, gloss: np.ndarray, azimuth: float, elevation: float = 0.9
) -> np.ndarray:
    """The colours (n, n, 3) of a relief under one lamp and a bright room; ``height`` and ``gloss`` are (n, n).

    Lambert's law with Blinn's highlights, a cast shadow, and corners that little light of the room reaches.

    Args:
        colour: what the surface reflects, 0 to 1.
        height: of the surface, in the same unit as lengths.
        gloss: strength of the highlights.
        azimuth: where the lamp stands, radians from x towards y.
        elevation: the lamp's, radians.
    """
    count = len(height)
    lamp = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
    down, right = np.gradient(height, 1.0 / count)
    length = np.sqrt(down**2 + right**2 + 1.0)
    diffuse = np.clip((lamp[2] - right * lamp[0] - down * lamp[1]) / length, 0.0, None)
    half = lamp + np.array([0.0, 0.0, 1.0])
    half /= np.linalg.norm(half)
    highlight = np.clip((half[2] - right * half[0] - down * half[1]) / length, 0.0, None) ** 40

    shadow = np.zeros_like(height)
    for step in range(1, 9):
        reach = step * 0.012  # towards the lamp
        moved = (round(reach * lamp[1] / np.cos(elevation) * count), round(reach * lamp[0] / np.cos(elevation) * count))
        above = np.roll(height, (-moved[0], -moved[1]), axis=(0, 1)) - height - reach * np.tan(elevation)
        np.maximum(shadow, np.clip(above / 0.008, 0.0, 1.0), out=shadow)
    shadow = ndimage.gaussian_filter(shadow, 0.006 * count)
    hidden = np.clip(ndimage.uniform_filter(height, max(3, round(0.05 * count))) - height, 0.0, None)
    light = (0.42 + 0.7 * diffuse * (1.0 - 0.75 * shadow)) * np.exp(-9.0 * hidden)
    return colour * light[:, :, None] + (gloss * highlight * (1.0 - shadow))[:, :, None]


def photographed(random: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    """What a camera makes of light (n, n, 3): uint8 (size, size, 3).

    The lamp's strength, colour and fall-off over the picture, the focus and the sensor's noise are random.
    """
    count = len(colour)
    size = count // OVERSAMPLED
    x, y = grid(size)
    direction, slope = random.uniform(0.0, 2.0 * np.pi), random.normal(0.0, 0.03)
    field = 1.0 + slope * 2.0 * (x * np.cos(direction) + y * np.sin(direction)) - 0.25 * (x**2 + y**2)
    warmth = random.normal(0.0, 0.01)
    tint = random.normal(1.0, 0.025) * np.array([1.0 + warmth, 1.0, 1.0 - warmth])
    focus = random.uniform(0.4, 0.7) * OVERSAMPLED / 2.0
    noise = random.normal(0.0, 1.0, (size, size, 3)).astype(np.float32)
    light = colour * field[:, :, None] * tint.astype(np.float32)
    light = _averaged(ndimage.gaussian_filter(light, (focus, focus, 0.0)))
    light = np.clip(light, 0.0, 1.2)
    light += noise * np.sqrt(0.006**2 + 0.00018 * light)  # of reading, and of counting photons
    return np.round(np.clip(light, 0.0, 1.0) * 255.0).astype(np.uint8)


def marked(covered: np.ndarray) -> np.ndarray:
    """The pixels, bool (size, size), of which a defect covers a fifth; ``covered`` is (n, n)."""
    return _averaged(covered[:, :, None])[:, :, 0] >= _MARKED_FROM


def _averaged(fine: np.ndarray) -> np.ndarray:
    size = len(fine) // OVERSAMPLED
    return fine.reshape(size, OVERSAMPLED, size, OVERSAMPLED, -1).mean(axis=(1, 3))
