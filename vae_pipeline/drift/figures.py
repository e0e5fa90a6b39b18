"""A day in one picture: scores beside the reference's, and which inputs moved."""

from typing import TYPE_CHECKING

import numpy as np

from vae_pipeline.drift.judge import Judgement
from vae_pipeline.evaluation.style import ANOMALOUS, GREY, NORMAL, canvas, frame, png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["picture_of"]

_BARS = 12
_BINS = 40


def picture_of(judgement: Judgement, threshold: float) -> bytes:
    """A PNG with two panels: histograms of scores with the threshold, and the inputs that moved most."""
    figure, (left, right) = canvas(1, 2, width=10.0, height=4.0)
    _scores(left, judgement.reference.scores, judgement.current.scores, threshold)
    _shifts(right, judgement)
    return png(figure)


def _scores(axes: "Axes", reference: np.ndarray, current: np.ndarray, threshold: float) -> None:
    both = np.concatenate([reference, current, [threshold]])
    bins = np.linspace(both.min(), np.quantile(both, 0.995), _BINS + 1).tolist()
    for scores, colour, name in ((reference, GREY, "reference"), (current, NORMAL, "day")):
        if len(scores):
            weights = np.full(len(scores), 1.0 / len(scores))
            shown = np.minimum(scores, bins[-1])
            axes.hist(shown, bins=bins, weights=weights, color=colour, alpha=0.7, label=f"{name}, {len(scores)}")
    axes.axvline(threshold, color=ANOMALOUS, linewidth=1.2, label="threshold")
    axes.legend(fontsize=9, frameon=False)
    frame(axes, title="scores, the highest in the last bar", x="score", y="share of samples")


def _shifts(axes: "Axes", judgement: Judgement) -> None:
    moved = judgement.drift.features[:_BARS][::-1]
    if not moved:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "inputs were not compared", ha="center", va="center")
        return
    colours = [ANOMALOUS if each.drifted else GREY for each in moved]
    axes.barh([each.name for each in moved], [each.shift for each in moved], color=colours)
    axes.axvline(0.0, color=GREY, linewidth=0.8)
    frame(axes, title="inputs that moved most; those beyond chance in colour", x="shift of the mean, sd of reference")
