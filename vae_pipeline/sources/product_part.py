"""A generated product: a turned flange with bolt holes, a seal, a printed code and a connector, seen from above."""

import numpy as np
from scipy import ndimage

from vae_pipeline.sources import product_shapes as shapes

__all__ = ["DEFECTS", "photograph_part"]

DEFECTS = ("scratch", "spot", "missing", "bent")
"""The kinds of defect."""

_HOLES = 6
_HOLE_RADIUS, _SINK_RADIUS, _HOLE_CIRCLE = 0.026, 0.041, 0.232
_PINS = 6
_PIN_ROOT, _PIN_END, _PIN_RADIUS, _PIN_STEP = 0.385, 0.470, 0.011, 0.047
_FLANGE, _HUB, _SEAL, _BORE = 0.345, 0.155, 0.101, 0.078
_CODE_CELLS, _CODE_CELL = 7, 0.011
_CODE = np.random.default_rng(4).random((_CODE_CELLS, _CODE_CELLS)) < 0.5  # the same on every part
_GROOVES = 110  # of the turning tool, from the centre to the rim
_FREE_SCALE = 0.86  # so that a part that lies anyhow stays in the picture

_METAL = np.array([0.60, 0.61, 0.64])
_BRASS = np.array([0.72, 0.55, 0.22])
_PLASTIC = np.array([0.09, 0.09, 0.11])
_RUBBER = np.array([0.10, 0.24, 0.52])
_TABLE = np.array([0.44, 0.43, 0.40])
_STAINS = np.array([[0.10, 0.08, 0.06], [0.42, 0.21, 0.09], [0.86, 0.85, 0.80]])  # oil, rust, lime


def photograph_part(
    scene: np.random.Generator, flaw: np.random.Generator, size: int, defect: str | None, *, free: bool
) -> tuple[np.ndarray, np.ndarray]:
    """A picture uint8 (size, size, 3) and the pixels of its defect, bool (size, size), none without ``defect``.

    Args:
        scene: draws what differs among good parts: pose, turning grooves, tones, light and noise.
        flaw: draws the defect; the same scene with and without it differs by the defect alone.
        size: pixels on a side.
        defect: one of ``DEFECTS``.
        free: whether the part lies anywhere and turned at will, or always in the same place.
    """
    x, y = shapes.grid(size)
    scale = _FREE_SCALE if free else 1.0
    angle = scene.uniform(-np.pi, np.pi) if free else scene.normal(0.0, 0.003)
    shift = scene.uniform(-0.05, 0.05, 2) if free else np.clip(scene.normal(0.0, 0.002, 2), -0.006, 0.006)
    x, y = x - np.float32(shift[0]), y - np.float32(shift[1])
    cos, sin = np.float32(np.cos(angle) / scale), np.float32(np.sin(angle) / scale)
    part = _Part(scene, cos * x + sin * y, cos * y - sin * x, flaw, defect)
    azimuth = -2.3 + scene.normal(0.0, 0.02)
    # turned metal gleams where its grooves lie across the light, which does not turn with the part
    gleam = np.exp(-((np.sin(np.arctan2(y, x) - azimuth) / 0.4) ** 2))
    colour = part.colour * (1.0 + part.metal * (part.grooves * (0.6 + gleam) + 0.55 * gleam - 0.18))[:, :, None]
    light = shapes.lit(colour, part.height * scale, part.gloss, azimuth)
    return shapes.photographed(scene, light), shapes.marked(part.defect)


class _Part:
    """Colour (n, n, 3), height, gloss, bare metal and defect (n, n) of every point, laid from the table up."""

    def __init__(
        self,
        scene: np.random.Generator,
        x: np.ndarray,
        y: np.ndarray,
        flaw: np.random.Generator,
        kind: str | None,
    ) -> None:
        self.x, self.y, self._flaw, self._kind = x, y, flaw, kind
        count = len(x)
        mat = ndimage.gaussian_filter(scene.normal(0.0, 1.0, x.shape).astype(np.float32), 1.2)
        self.colour = _TABLE.astype(np.float32) * (1.0 + 0.14 * mat)[:, :, None]
        self.height = np.zeros_like(x)
        self.gloss = np.zeros_like(x)
        self.metal = np.zeros_like(x)
        self.defect = np.zeros_like(x)
        self._radius = np.hypot(x, y)
        rings = ndimage.gaussian_filter1d(scene.normal(0.0, 1.0, _GROOVES), 0.7)
        self.grooves = np.interp(self._radius, np.linspace(0.0, 0.4, _GROOVES), 0.06 * rings).astype(np.float32)
        tone = scene.normal(1.0, 0.02, 4)
        missing = None
        if kind == "missing":
            missing = int(flaw.integers(0, _HOLES)) + _HOLES * int(flaw.integers(0, 2))  # a hole, else a pin
        self._connector(tone[0], tone[1], None if missing is None else missing - _HOLES)
        self._flange(tone[2], missing)
        self._code(tone[3])
        if kind == "scratch":
            self._scratch()
        elif kind == "spot":
            self._spot()
        self.height = ndimage.gaussian_filter(self.height, 0.0025 * count)

    def _lay(self, covered: np.ndarray, colour: np.ndarray, gloss: float, height: np.ndarray | float) -> None:
        rows, columns = np.flatnonzero(covered.any(axis=1)), np.flatnonzero(covered.any(axis=0))
        if not rows.size:
            return
        at = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]  # most parts are small
        share, level = covered[at], height[at] if isinstance(height, np.ndarray) else height
        self.colour[at] += share[:, :, None] * (colour.astype(np.float32) - self.colour[at])
        self.gloss[at] += share * (gloss - self.gloss[at])
        self.height[at] += share * (level - self.height[at])
        self.metal[at] *= 1.0 - share

    def _connector(self, brass: float, plastic: float, missing: int | None) -> None:
        bent = int(self._flaw.integers(0, _PINS)) if self._kind == "bent" else None
        for number in range(_PINS):
            across = (number - (_PINS - 1) / 2) * _PIN_STEP
            root, end = (across, _PIN_ROOT), (across, _PIN_END)
            straight = shapes.capsule(self.x, self.y, root, end, _PIN_RADIUS)
            if number == missing:
                self.defect = shapes.cover(straight)
                continue
            pin = straight
            if number == bent:
                turn = self._flaw.uniform(0.25, 0.9) * self._flaw.choice([-1, 1])
                knee = (across, _PIN_ROOT + 0.018 + self._flaw.uniform(0.0, 0.012))
                reach = _PIN_END - knee[1]
                tip = (knee[0] + reach * np.sin(turn), knee[1] + reach * np.cos(turn))
                pin = np.minimum(
                    shapes.capsule(self.x, self.y, root, knee, _PIN_RADIUS),
                    shapes.capsule(self.x, self.y, knee, tip, _PIN_RADIUS),
                )
                left = shapes.capsule(self.x, self.y, knee, end, _PIN_RADIUS)
                moved = shapes.capsule(self.x, self.y, knee, tip, _PIN_RADIUS)
                self.defect = shapes.cover(np.minimum(left, moved))  # where it should be, and where it is
            round_top = np.sqrt(np.clip(1.0 - (pin / _PIN_RADIUS + 1.0) ** 2, 0.0, 1.0)) * _PIN_RADIUS
            self._lay(shapes.cover(pin), _BRASS * brass, 0.5, 0.012 + round_top)
        body = shapes.box(self.x, self.y, (0.0, 0.352), (0.156, 0.052))
        self._lay(shapes.cover(body), _PLASTIC * plastic, 0.10, _raised(body, 0.008) * 0.055)
        self.defect *= 1.0 - shapes.cover(body)

    def _flange(self, tone: float, missing: int | None) -> None:
        disc = self._radius - _FLANGE
        face = shapes.cover(disc)
        height = 0.07 * _raised(disc, 0.016) - 0.012 * np.exp(-(((self._radius - 0.300) / 0.007) ** 2))
        height += 0.028 * _raised(self._radius - _HUB, 0.012)
        self._lay(face, _METAL * tone, 0.22, height)
        self.metal = face.copy()
        self.defect *= 1.0 - face
        for number in range(_HOLES):
            turn = 2.0 * np.pi * number / _HOLES
            centre = (_HOLE_CIRCLE * np.cos(turn), _HOLE_CIRCLE * np.sin(turn))
            sink = shapes.circle(self.x, self.y, centre, _SINK_RADIUS)
            if number == missing:
                self.defect = shapes.cover(sink)
                continue
            self.height -= 0.022 * np.clip(-sink / (_SINK_RADIUS - _HOLE_RADIUS), 0.0, 1.0)
            self._lay(shapes.cover(sink + _SINK_RADIUS - _HOLE_RADIUS), _METAL * 0.09, 0.0, 0.0)
        seal = np.abs(self._radius - _SEAL) - 0.014
        self._lay(shapes.cover(seal), _RUBBER, 0.25, 0.1 + 0.012 * np.sqrt(np.clip(-seal / 0.014, 0.0, 1.0)))
        bore = np.minimum(self._radius - _BORE, shapes.box(self.x, self.y, (0.0, -_BORE), (0.017, 0.013)))
        self._lay(shapes.cover(bore), _METAL * 0.07, 0.0, 0.0)

    def _code(self, tone: float) -> None:
        turn = -np.pi / 2.0
        left = _HOLE_CIRCLE * np.cos(turn) - _CODE_CELLS * _CODE_CELL / 2.0
        top = _HOLE_CIRCLE * np.sin(turn) - _CODE_CELLS * _CODE_CELL / 2.0
        column = np.floor((self.x - left) / _CODE_CELL).astype(np.int64)
        row = np.floor((self.y - top) / _CODE_CELL).astype(np.int64)
        within = (column >= 0) & (column < _CODE_CELLS) & (row >= 0) & (row < _CODE_CELLS)
        dark = within & _CODE[row.clip(0, _CODE_CELLS - 1), column.clip(0, _CODE_CELLS - 1)]
        self.colour *= (1.0 - 0.62 * tone * dark)[:, :, None].astype(np.float32)

    def _on_face(self, inner: float, outer: float) -> tuple[float, float]:
        """A random place on the ring of bare metal."""
        radius, turn = self._flaw.uniform(inner, outer), self._flaw.uniform(0.0, 2.0 * np.pi)
        return radius * np.cos(turn), radius * np.sin(turn)

    def _scratch(self) -> None:
        flaw = self._flaw
        length, radius = flaw.uniform(0.08, 0.35), flaw.uniform(0.0035, 0.0085)
        strength = np.exp(flaw.uniform(np.log(0.2), np.log(0.8))) * flaw.choice([-1.0, 1.0])
        line = shapes.curve(flaw, self.x, self.y, self._on_face(0.17, 0.33), length, radius)
        self.defect = shapes.cover(line) * self.metal
        self.colour *= (1.0 + strength * self.defect)[:, :, None]
        self.height -= 0.004 * abs(strength) * self.defect

    def _spot(self) -> None:
        flaw = self._flaw
        radius = flaw.uniform(0.014, 0.060)
        strength = flaw.uniform(0.25, 0.85)
        stain = _STAINS[flaw.integers(0, len(_STAINS))]
        drop = shapes.blob(flaw, self.x, self.y, self._on_face(0.16, 0.33), radius)
        self.defect = shapes.cover(drop) * self.metal
        self.colour += (strength * self.defect)[:, :, None] * (stain.astype(np.float32) - self.colour)


def _raised(distance: np.ndarray, bevel: float) -> np.ndarray:
    """1 inside, falling to 0.5 at the outline over a bevel."""
    return 0.5 + 0.5 * np.clip(-distance / bevel, 0.0, 1.0)
