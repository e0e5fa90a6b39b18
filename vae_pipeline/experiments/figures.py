"""Pictures of a study: how trials went, and which hyperparameters mattered."""

from collections.abc import Mapping, Sequence

import numpy as np

from vae_pipeline.evaluation import style
from vae_pipeline.experiments.best import TrialRow

__all__ = ["history_figure", "importance_figure"]


def history_figure(rows: Sequence[TrialRow]) -> bytes:
    """The value of every complete trial, the best so far, the default's, and where trials were pruned."""
    complete = [row for row in rows if row.value is not None]
    if not complete:
        return style.message("No trial is complete.")
    figure, (axes,) = style.canvas(height=3.6)
    numbers = [row.number for row in complete]
    values = np.array([row.value for row in complete], dtype=np.float64)
    axes.plot(numbers, values, "o", color=style.OURS, label="trial")
    axes.step(numbers, np.maximum.accumulate(values), where="post", color=style.INK, linewidth=1.2, label="best so far")
    default = next((row.value for row in complete if row.default), None)
    if default is not None:
        axes.axhline(default, color=style.OTHERS[0], linewidth=1.2, linestyle="--", label="the catalogue's values")
    ended = [row.number for row in rows if row.value is None]
    if ended:
        axes.plot(ended, np.full(len(ended), values.min()), "|", color=style.GREY, markersize=12, label="ended early")
    style.frame(axes, title="Separation on calibration data", x="trial", y="mean of both areas")
    axes.locator_params(axis="x", integer=True)
    axes.margins(y=0.1)
    axes.legend(frameon=False, fontsize=8.5, loc="lower right")
    return style.png(figure)


def importance_figure(importance: Mapping[str, float]) -> bytes:
    """The share of the spread of values that each hyperparameter accounts for; says so where it is not known."""
    if not importance:
        return style.message("Too few trials are complete to tell which hyperparameters matter.")
    names = sorted(importance, key=lambda name: importance[name])
    figure, (axes,) = style.canvas(height=1.0 + 0.4 * len(names))
    axes.barh([name.replace("_", " ") for name in names], [importance[name] for name in names], color=style.OURS)
    style.frame(axes, title="Importance (PED-ANOVA)", x="share")
    axes.set_xlim(left=0.0)
    return style.png(figure)
