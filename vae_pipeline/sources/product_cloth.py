"""A generated surface without any place of its own: a piece of woven cloth."""

import numpy as np
from scipy import ndimage

from vae_pipeline.sources import product_shapes as shapes

__all__ = ["DEFECTS", "photograph_cloth"]

DEFECTS = ("scratch", "spot", "hole", "colour")
"""The kinds of defect."""

_YARNS = 24  # over the picture's side
_WARP, _WEFT = np.array([0.25, 0.33, 0.47]), np.array([0.60, 0.61, 0.60])
_STAINS = np.array([[0.14, 0.12, 0.09], [0.45, 0.30, 0.15], [0.80, 0.79, 0.74]])
_TINTS = np.array([[1.35, 0.85, 0.80], [0.80, 1.20, 0.85], [1.20, 1.10, 0.60], [0.85, 0.85, 1.30]])
_GROUND = np.array([0.06, 0.06, 0.07])


def photograph_cloth(
    scene: np.random.Generator, flaw: np.random.Generator, size: int, defect: str | None
) -> tuple[np.ndarray, np.ndarray]:
    """A picture uint8 (size, size, 3) and the pixels of its defect, bool (size, size), none without ``defect``.

    ``scene`` draws what differs among good pieces, ``flaw`` the defect, one of ``DEFECTS``.
    """
    x, y = shapes.grid(size)
    colour, height = _woven(scene, x, y)
    covered = np.zeros_like(x)
    if defect:
        colour, height, covered = _spoilt(flaw, defect, x, y, colour, height)
    light = shapes.lit(colour, height, np.full_like(x, 0.02), -2.3 + scene.normal(0.0, 0.05))
    return shapes.photographed(scene, light), shapes.marked(covered)


def _woven(scene: np.random.Generator, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colour (n, n, 3) and height (n, n) of a twill: each yarn goes over two others and under one."""
    count = len(x)
    angle = scene.normal(0.0, 0.03)
    pull = [_smooth(scene, count, 0.10) * 0.006 for _ in range(2)]  # yarns never lie quite straight
    across = (np.cos(angle) * x + np.sin(angle) * y + pull[0] + scene.uniform(1.0, 2.0)) * _YARNS
    along = (np.cos(angle) * y - np.sin(angle) * x + pull[1] + scene.uniform(1.0, 2.0)) * _YARNS
    warp, weft = np.floor(across).astype(np.int64), np.floor(along).astype(np.int64)
    over = (warp + weft) % 3 != 0
    tones = 1.0 + 0.05 * scene.normal(0.0, 1.0, (2, 4 * _YARNS)).astype(np.float32)
    tone = np.where(over, tones[0][warp % (4 * _YARNS)], tones[1][weft % (4 * _YARNS)])
    inside, past = across - warp - 0.5, along - weft - 0.5
    profile = np.where(over, _rounded(inside), _rounded(past))  # a yarn is round, and dives at its ends
    bow = np.where(over, np.cos(np.pi * _place(warp + weft, past)), np.cos(np.pi * past))
    fibres = np.where(
        over,
        ndimage.gaussian_filter(scene.normal(0.0, 1.0, x.shape).astype(np.float32), (0.016 * count, 0.5)),
        ndimage.gaussian_filter(scene.normal(0.0, 1.0, x.shape).astype(np.float32), (0.5, 0.016 * count)),
    )
    fibres *= 0.45 * np.sqrt(count / 256.0)
    colour = np.where(over[:, :, None], _WARP, _WEFT).astype(np.float32)
    colour *= (tone * (0.45 + 0.55 * profile) * (0.82 + 0.18 * bow) * (1.0 + fibres))[:, :, None].astype(np.float32)
    colour *= (1.0 + 0.05 * _smooth(scene, count, 0.16))[:, :, None].astype(np.float32)
    return colour, (0.012 * profile * (0.6 + 0.4 * bow)).astype(np.float32)


def _place(number: np.ndarray, past: np.ndarray) -> np.ndarray:
    """How far along the two crossings a warp yarn lies on top, -0.5 to 0.5."""
    return (past + np.where(number % 3 == 1, -0.5, 0.5)) / 2.0


def _rounded(inside: np.ndarray) -> np.ndarray:
    return np.sqrt(np.clip(1.0 - (2.0 * inside) ** 2, 0.0, 1.0))


def _smooth(random: np.random.Generator, count: int, width: float) -> np.ndarray:
    """A random field of unit sd (count, count) that changes over ``width`` of the side."""
    coarse = max(4, round(3.0 / width))
    field = random.normal(0.0, 1.0, (coarse, coarse)).astype(np.float32)
    return np.asarray(ndimage.zoom(field, count / coarse, order=3, mode="nearest", grid_mode=True))


def _spoilt(
    flaw: np.random.Generator, defect: str, x: np.ndarray, y: np.ndarray, colour: np.ndarray, height: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colour and height with a defect, and the share of each point that it covers."""
    centre = (flaw.uniform(-0.4, 0.4), flaw.uniform(-0.4, 0.4))
    if defect == "scratch":
        line = shapes.curve(flaw, x, y, centre, flaw.uniform(0.15, 0.5), flaw.uniform(0.006, 0.014))
        covered = shapes.cover(line)
        worn = 1.0 + np.exp(flaw.uniform(np.log(0.3), np.log(0.9))) * flaw.choice([-1.0, 1.0])
        return colour * (1.0 + (worn - 1.0) * covered)[:, :, None], height * (1.0 - 0.6 * covered), covered
    radius = {"spot": (0.018, 0.07), "hole": (0.016, 0.06), "colour": (0.05, 0.15)}[defect]
    covered = shapes.cover(shapes.blob(flaw, x, y, centre, flaw.uniform(*radius)))
    veil = covered[:, :, None]
    if defect == "hole":
        return colour + veil * (_GROUND.astype(np.float32) - colour), height * (1.0 - covered), covered
    if defect == "spot":
        stain = _STAINS[flaw.integers(0, len(_STAINS))].astype(np.float32)
        return colour + flaw.uniform(0.35, 0.85) * veil * (stain - colour), height, covered
    tint = _TINTS[flaw.integers(0, len(_TINTS))].astype(np.float32)
    return colour * (1.0 + flaw.uniform(0.4, 1.2) * veil * (tint - 1.0)), height, covered
