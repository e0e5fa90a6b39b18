"""How every figure looks: one palette, one frame, PNG out."""

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["ANOMALOUS", "GREY", "INK", "NORMAL", "OTHERS", "OURS", "canvas", "frame", "message", "png"]

# Okabe and Ito's palette, told apart with every common form of colour blindness
OURS = "#0072B2"
OTHERS = ("#D55E00", "#009E73", "#CC79A7")
NORMAL = "#0072B2"
ANOMALOUS = "#D55E00"
GREY = "#B8B8B8"
INK = "#303030"

DPI = 120


def canvas(
    rows: int = 1, columns: int = 1, *, width: float = 7.5, height: float = 4.5, sharey: bool = False
) -> "tuple[Figure, list[Axes]]":
    """A figure, 900 pixels wide unless told otherwise, and its axes row by row; no global state is touched."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=sharey)
    return figure, list(axes.flat)


def frame(axes: "Axes", *, title: str = "", x: str = "", y: str = "") -> None:
    """Titles, labels, a light grid and no box."""
    if title:
        axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.set_xlabel(x, fontsize=10, color=INK)
    axes.set_ylabel(y, fontsize=10, color=INK)
    axes.tick_params(labelsize=9, colors=INK)
    axes.grid(visible=True, color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GREY)


def message(text: str) -> bytes:
    """A picture that says why there is none."""
    figure, (axes,) = canvas(height=1.6)
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=11, color=INK, wrap=True)
    return png(figure)


def png(figure: "Figure") -> bytes:
    """The figure as PNG, drawn by Agg whatever backend is set."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor="white")
    return buffer.getvalue()
