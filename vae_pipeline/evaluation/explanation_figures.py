"""Pictures of an explanation, each as the bytes of a PNG."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from vae_pipeline.evaluation import style

if TYPE_CHECKING:
    from vae_pipeline.explanation.explanation import Explanation

__all__ = ["image_figure", "stacked", "window_figure"]

COURSES = 4
BARS = 6


def window_figure(explanation: "Explanation") -> bytes:
    """Evidence per sensor, and the first sensors' readings beside what the network expected.

    Where a sensor stands out its rows are shaded.
    """
    shown = [sensor for sensor in explanation.sensors if sensor.profile][:COURSES]
    if not shown:
        return style.message("There is no course to show.")
    figure, axes = style.canvas(len(shown) + 1, 1, width=7.5, height=1.6 * (len(shown) + 1))
    bars = explanation.sensors[:BARS]
    axes[0].barh(range(len(bars)), [sensor.evidence for sensor in bars], color=style.OURS)
    axes[0].set_yticks(range(len(bars)), [_short(sensor.name) for sensor in bars])
    axes[0].invert_yaxis()
    style.frame(
        axes[0], title="Evidence per sensor", x="what has just changed, beyond normal; at most ½ without a change"
    )
    for axis, sensor in zip(axes[1:], shown, strict=True):
        rows = np.arange(len(sensor.readings))
        axis.plot(rows, sensor.readings, color=style.INK, linewidth=1.2, label="read")
        axis.plot(rows, sensor.expected, color=style.OURS, linewidth=1.2, linestyle="--", label="expected")
        if sensor.start is not None and sensor.end is not None:
            axis.axvspan(sensor.start - 0.5, sensor.end + 0.5, color=style.ANOMALOUS, alpha=0.15, linewidth=0)
        style.frame(axis, title=_short(sensor.name), y="healthy sd")
    axes[1].legend(fontsize=8, frameon=False, ncols=2, loc="upper left")
    axes[-1].set_xlabel("row of the window", fontsize=10, color=style.INK)
    return style.png(figure)


def image_figure(
    image: np.ndarray, score_map: np.ndarray, regions: np.ndarray, level: float, attribution: np.ndarray | None
) -> bytes:
    """The image, its map, its regions with their ranks, and the attribution where there is one.

    Args:
        image: uint8, shape (size, size, 3).
        score_map: the higher the more anomalous, shape (height, width).
        regions: rank of each pixel's region, same shape, 0 where there is none.
        level: of the map.
        attribution: size of each pixel's part in the score, (size, size).
    """
    heads = ["image", "map", "regions", *(["attribution"] if attribution is not None else [])]
    figure, axes = style.canvas(1, len(heads), width=2.4 * len(heads), height=2.8)
    shape = score_map.shape
    box = (0, shape[1], shape[0], 0)
    for axis, head in zip(axes, heads, strict=True):
        axis.imshow(image, extent=box)
        axis.set_title(head, loc="left", fontsize=10, color=style.INK)
        axis.set_xticks([])
        axis.set_yticks([])
    seen = np.ma.masked_less(score_map, level / 2)
    axes[1].imshow(seen, extent=box, cmap="inferno", alpha=0.75, vmin=level / 2, vmax=max(4 * level, score_map.max()))
    if regions.any():
        axes[2].contour(np.arange(shape[1]), np.arange(shape[0]), regions > 0, levels=[0.5], colors=[style.ANOMALOUS])
        for rank in range(1, int(regions.max()) + 1):
            rows, columns = np.nonzero(regions == rank)
            axes[2].text(columns.mean(), rows.mean(), str(rank), color="white", fontsize=9, ha="center", va="center")
    if attribution is not None:
        axes[3].imshow(attribution, extent=box, cmap="viridis", alpha=0.85)
    return style.png(figure)


def stacked(pictures: Sequence[bytes]) -> bytes:
    """PNG pictures one below the other, as one."""
    opened = [Image.open(io.BytesIO(picture)).convert("RGB") for picture in pictures]
    whole = Image.new("RGB", (max(each.width for each in opened), sum(each.height for each in opened)), "white")
    top = 0
    for each in opened:
        whole.paste(each, (0, top))
        top += each.height
    buffer = io.BytesIO()
    whole.save(buffer, "png")
    return buffer.getvalue()


def _short(name: str) -> str:
    """A name that fits beside a picture; a dollar would begin a formula."""
    name = name.replace("$", r"\$")
    return name if len(name) <= 32 else f"{name[:31]}…"
