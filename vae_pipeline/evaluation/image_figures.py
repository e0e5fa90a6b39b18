"""Pictures of an evaluation on images, each as the bytes of a PNG; masks may be missing everywhere."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vae_pipeline.errors import DataError
from vae_pipeline.evaluation import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

__all__ = ["Case", "cases_figure", "reconstructions_figure", "score_by_defect_figure"]

HEAT = "inferno"
LINE = "#56C8FF"
GAMMA = 0.6
CELL = 1.8
SMALL = 0.88
GAP = 0.05
CAPTION = 0.22
SHOWN = 512
POINTS = 400


class Case(NamedTuple):
    """One image and what the detector makes of it.

    Attributes:
        image: shape (height, width, 3) or (height, width), uint8, or floating from 0 to 1.
        reconstruction: same, of any size.
        score_map: the higher the more anomalous, shape (rows, columns), of any size.
        mask: not 0 where the image is anomalous, shape (rows, columns), of any size; None where there is none.
        caption: one line above the pictures.
    """

    image: np.ndarray
    reconstruction: np.ndarray
    score_map: np.ndarray
    mask: np.ndarray | None
    caption: str


def cases_figure(
    rows: Sequence[Case | tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None, str]],
    title: str,
    *,
    threshold: float | None = None,
) -> bytes:
    """A contact sheet: original, reconstruction, map over the grey original, mask.

    One colour scale holds for all maps: transparent up to their common median, from there (by the power 0.6, so
    that weak ones are seen beside strong ones) to their 99.9 % quantile.
    Without any mask the last column is left out.

    Args:
        rows: one case a row.
        title: of the sheet.
        threshold: of the map's pixels; where maps cross it a line is drawn.
    """
    if not rows:
        return style.message("There are no images.")
    cases = [Case(*row) for row in rows]
    masked = any(case.mask is not None for case in cases)
    heads = ["original", "reconstruction", "map", *(["mask"] if masked else [])]
    low, high = _scale([case.score_map for case in cases], threshold)
    step = CELL + GAP + CAPTION
    figure, axes = _sheet(len(cases), len(heads), step=step, above=0.35 + CAPTION, below=0.85)
    heat = None
    for row, case in enumerate(cases):
        panels = axes[row * len(heads) : (row + 1) * len(heads)]
        picture = _shown(case.image)
        panels[0].imshow(picture)
        panels[1].imshow(_shown(case.reconstruction))
        heat = _heat(panels[2], picture, case.score_map, low, high, threshold)
        if masked:
            _mask(panels[3], picture, case.mask)
        panels[0].set_title(case.caption, loc="left", fontsize=9, color=style.INK, pad=3)
    for panel, head in zip(axes[-len(heads) :], heads, strict=True):
        panel.set_xlabel(head, fontsize=9.5, color=style.INK, labelpad=3)
    _bar(figure, heat, threshold)
    _title(figure, title)
    return style.png(figure)


def reconstructions_figure(pairs: Sequence[tuple[np.ndarray, np.ndarray]], title: str = "") -> bytes:
    """Originals above their reconstructions, at most eight side by side.

    Args:
        pairs: image and reconstruction, each (height, width, 3) or (height, width), uint8 or floating from 0 to 1.
        title: of the grid.
    """
    if not pairs:
        return style.message("There are no images.")
    columns = min(8, len(pairs))
    blocks = -(-len(pairs) // columns)
    figure, axes = _sheet(
        2 * blocks, columns, cell=SMALL, step=SMALL + GAP, left=0.25, above=0.3 if title else GAP, below=GAP
    )
    for panel in axes[2 * columns * (blocks - 1) :]:
        panel.set_visible(False)
    for i, pair in enumerate(pairs):
        block, column = divmod(i, columns)
        for line, picture in enumerate(pair):
            panel = axes[(2 * block + line) * columns + column]
            panel.set_visible(True)
            panel.imshow(_shown(picture))
    for block in range(blocks):
        for line, word in enumerate(("original", "rebuilt")):
            axes[(2 * block + line) * columns].set_ylabel(word, fontsize=9, color=style.INK, labelpad=3)
    _title(figure, title)
    return style.png(figure)


def score_by_defect_figure(scores: np.ndarray, defects: Sequence[str], threshold: float) -> bytes:
    """Every image's score by kind of defect, good images on top, with the threshold and how many alarm.

    Boxes span the middle half, their line is the median. Kinds follow with falling median. Of a kind with over 400
    images, 400 evenly spaced scores are drawn.

    Args:
        scores: shape (n,).
        defects: each image's kind, "" or "good" for a good one.
        threshold: images above it alarm.

    Raises:
        DataError: scores and defects differ in number.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if len(scores) != len(defects):
        msg = f"score figure: {len(scores)} scores but {len(defects)} defects; give one of each an image"
        raise DataError(msg)
    if len(scores) == 0:
        return style.message("There are no images.")
    kind = np.array([defect or "good" for defect in defects])
    names = sorted(set(kind.tolist()), key=lambda name: (name != "good", -np.median(scores[kind == name]), name))
    figure, (axes,) = style.canvas(height=1.3 + 0.5 * len(names))
    generator = np.random.default_rng(0)
    labels = []
    for place, name in enumerate(names):
        values = np.sort(scores[kind == name])
        alarms = int((values > threshold).sum())
        labels.append(f"{name.replace('_', ' ')}\n{alarms} of {len(values)} alarm")
        if len(values) > POINTS:
            values = values[np.linspace(0, len(values) - 1, POINTS).astype(int)]
        colour = style.NORMAL if name == "good" else style.ANOMALOUS
        lower, middle, upper = np.quantile(values, [0.25, 0.5, 0.75])
        axes.barh(place, upper - lower, left=lower, height=0.62, color=colour, alpha=0.16, linewidth=0)
        axes.plot([middle, middle], [place - 0.31, place + 0.31], color=colour, linewidth=2.2, solid_capstyle="butt")
        aside = generator.uniform(-0.22, 0.22, len(values))
        axes.scatter(values, place + aside, s=16, color=colour, alpha=0.75, linewidths=0.4, edgecolors="white")
    axes.axvline(threshold, color=style.INK, linewidth=1.5, linestyle="--")
    wide = min(scores.min(), threshold) > 0 and scores.max() > 8 * threshold
    if wide:
        axes.set_xscale("log", subs=(2, 5))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("{x:g}")
        axes.tick_params(axis="x", which="minor", labelsize=8, colors=style.GREY, labelcolor=style.INK)
    note = f"threshold {threshold:.3g}"
    axes.annotate(
        note, (threshold, 1.0), (4, 2), ("data", "axes fraction"), "offset points", fontsize=9, color=style.INK
    )
    style.frame(axes, x="score (logarithmic)" if wide else "score")
    axes.set_title("Scores by kind of defect", loc="left", fontsize=11, color=style.INK, pad=18)
    axes.set_yticks(range(len(names)), labels)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    return style.png(figure)


def _sheet(
    rows: int,
    columns: int,
    *,
    step: float,
    above: float,
    below: float,
    cell: float = CELL,
    left: float = 0.06,
) -> "tuple[Figure, list[Axes]]":
    """Square axes without ticks, row by row, placed by hand in inches; ``step`` lies from one row to the next."""
    width = left + columns * (cell + GAP) + 0.06 - GAP
    height = above + (rows - 1) * step + cell + below
    figure, axes = style.canvas(rows, columns, width=width, height=height)
    figure.set_layout_engine("none")
    for i, panel in enumerate(axes):
        row, column = divmod(i, columns)
        bottom = height - above - row * step - cell
        x = left + column * (cell + GAP)
        panel.set_position((x / width, bottom / height, cell / width, cell / height))
        panel.set_xticks([])
        panel.set_yticks([])
        for spine in panel.spines.values():
            spine.set_color(style.GREY)
            spine.set_linewidth(0.6)
    return figure, axes


def _title(figure: "Figure", title: str) -> None:
    if title:
        width, height = figure.get_size_inches()
        figure.text(0.06 / width, 1 - 0.08 / height, title, fontsize=11, color=style.INK, va="top")


def _shown(picture: np.ndarray) -> np.ndarray:
    """An image as float (height, width, 3) from 0 to 1, thinned to at most 512 pixels a side."""
    picture = np.asarray(picture)
    step = max(1, -(-max(picture.shape[:2]) // SHOWN))
    picture = picture[::step, ::step]
    if picture.ndim == 2:
        picture = picture[..., None]
    found = picture / 255.0 if picture.dtype == np.uint8 else picture.astype(np.float64)
    return np.clip(np.broadcast_to(found, (*found.shape[:2], 3)), 0.0, 1.0)


def _scale(maps: Sequence[np.ndarray], threshold: float | None) -> tuple[float, float]:
    values = np.concatenate([np.asarray(one, dtype=np.float64).reshape(-1) for one in maps])
    low, high = (float(value) for value in np.quantile(values, [0.5, 0.999]))
    if threshold is not None:
        low, high = min(low, threshold), max(high, threshold)
    return low, high if high > low else low + 1.0


def _heat(
    axes: "Axes", picture: np.ndarray, score_map: np.ndarray, low: float, high: float, threshold: float | None
) -> "AxesImage":
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap, PowerNorm

    height, width = picture.shape[:2]
    box = (-0.5, width - 0.5, height - 0.5, -0.5)
    values = np.asarray(score_map, dtype=np.float64)
    step = max(1, -(-max(values.shape) // SHOWN))
    values = values[::step, ::step]
    grey = np.broadcast_to(picture.mean(axis=2, keepdims=True) * 0.55, picture.shape)
    axes.imshow(grey)
    norm = PowerNorm(GAMMA, low, high, clip=True)
    # without its black end, which reads as a shadow of the object
    colours = ListedColormap(colormaps[HEAT](np.linspace(0.2, 1.0, 256)))
    alpha = np.asarray(norm(values)) * 0.95
    heat = axes.imshow(values, cmap=colours, norm=norm, alpha=alpha, extent=box, interpolation="bilinear")
    if threshold is not None and values.min() <= threshold < values.max() and min(values.shape) > 1:
        x = (np.arange(values.shape[1]) + 0.5) * width / values.shape[1] - 0.5
        y = (np.arange(values.shape[0]) + 0.5) * height / values.shape[0] - 0.5
        axes.contour(x, y, values, [threshold], colors=[LINE], linewidths=0.9)
    axes.set_xlim(box[:2])
    axes.set_ylim(box[2:])
    return heat


def _mask(axes: "Axes", picture: np.ndarray, mask: np.ndarray | None) -> None:
    height, width = picture.shape[:2]
    found = np.zeros((height, width), dtype=bool)
    if mask is not None:
        mask = np.asarray(mask)
        # the pixel of the mask under each pixel shown
        rows, columns = ((np.arange(n) * m) // n for n, m in zip((height, width), mask.shape, strict=True))
        found = mask[np.ix_(rows, columns)] != 0
    grey = np.repeat(picture.mean(axis=2, keepdims=True) * 0.55, 3, axis=2)
    colour = np.array([int(style.ANOMALOUS[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    grey[found] = 0.35 * grey[found] + 0.65 * colour
    axes.imshow(grey)
    if not found.any():
        word = "no mask" if mask is None else "nothing marked"
        axes.text(0.5, 0.06, word, transform=axes.transAxes, ha="center", fontsize=8.5, color="white")


def _bar(figure: "Figure", heat: "AxesImage | None", threshold: float | None) -> None:
    if heat is None:
        return
    width, height = figure.get_size_inches()
    place = figure.add_axes((0.1, 0.45 / height, 0.8, 0.09 / height))
    bar = figure.colorbar(heat, cax=place, orientation="horizontal")
    bar.set_alpha(1.0)
    place.tick_params(labelsize=8, colors=style.INK)
    for spine in place.spines.values():
        spine.set_visible(False)
    text = "map, one scale for all rows: the higher the more anomalous" if width > 6 else "map, one scale for all rows"
    if threshold is not None:
        place.axvline(threshold, color=LINE, linewidth=1.8)
        text += f"; line: threshold {threshold:.3g}"
    place.set_xlabel(text, fontsize=9, color=style.INK, labelpad=2)
