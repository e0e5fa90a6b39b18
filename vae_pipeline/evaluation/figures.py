"""Pictures of an evaluation, each as the bytes of a PNG; labels may be missing everywhere."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vae_pipeline.evaluation import style
from vae_pipeline.evaluation.metrics import Scored, cannot
from vae_pipeline.evaluation.ranking import Ranking

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "comparison_figure",
    "histogram_figure",
    "life_figure",
    "precision_recall_figure",
    "roc_figure",
    "training_figure",
]

POINTS = 800
NAMED = 3
EPOCH_SECONDS = 1e8


def roc_figure(scored: Scored, baselines: Mapping[str, np.ndarray] | None = None, *, name: str = "VAE") -> bytes:
    """ROC curves of the detector and its baselines; the three best baselines in colour, the others grey.

    Args:
        scored: the windows with the detector's scores.
        baselines: baseline -> scores of the same windows, shape (n,).
        name: the detector's, for the legend.
    """
    return _ranked(scored, baselines or {}, name, precision=False)


def precision_recall_figure(
    scored: Scored, baselines: Mapping[str, np.ndarray] | None = None, *, name: str = "VAE"
) -> bytes:
    """Precision-recall curves of the detector and its baselines; arguments as for ``roc_figure``."""
    return _ranked(scored, baselines or {}, name, precision=True)


def histogram_figure(scored: Scored, threshold: float, *, noun: str = "windows") -> bytes:
    """How the scores are spread, by class where labels are known, with the threshold; ``noun`` is what is counted."""
    if len(scored) == 0:
        return style.message(f"There are no {noun}.")
    figure, (axes,) = style.canvas(height=3.8)
    low, high = np.quantile(scored.score, [0.0, 0.999])
    low, high = min(low, threshold), max(high, threshold)
    edges = np.linspace(low, high + 1e-9 + 0.02 * (high - low), 61)
    groups = [
        (scored.label == 0, "normal", style.NORMAL),
        (scored.label == 1, "anomalous", style.ANOMALOUS),
        (scored.label < 0, "no label", style.GREY),
    ]
    for chosen, word, colour in groups:
        if chosen.any():
            # the last bar holds what lies beyond it
            values = np.clip(scored.score[chosen], low, edges[-1])
            share = np.full(len(values), 1.0 / len(values))
            label = f"{word} ({len(values):,} {noun})"
            axes.hist(values, edges, weights=share, color=colour, alpha=0.55, label=label)
            axes.hist(values, edges, weights=share, color=colour, histtype="step", linewidth=1.2)
    axes.axvline(threshold, color=style.INK, linewidth=1.5, linestyle="--", label=f"threshold {threshold:.3g}")
    unlabelled = bool((scored.label < 0).all())
    style.frame(
        axes,
        title=f"Scores (no {noun[:-1]} has a label)" if unlabelled else "Scores by class",
        x="score (last bar: and above)" if scored.score.max() > edges[-1] else "score",
        y=f"share of {noun}" if unlabelled else "share of its class",
    )
    axes.legend(frameon=True, facecolor="white", edgecolor="none", framealpha=0.9, fontsize=9)
    return style.png(figure)


def life_figure(
    scored: Scored,
    threshold: float,
    *,
    units: int = 6,
    names: Sequence[str] | None = None,
    time_unit: str = "cycle",
) -> bytes:
    """The score over the life of some units, with the threshold and the anomalous stretch shaded.

    Units with anomalous windows come first, those with the longest record before others. Where the remaining life is
    known the axis counts down to failure, elsewhere it shows the time of the window's last row.

    Args:
        scored: the windows.
        threshold: windows above it alarm.
        units: how many to show.
        names: unit index -> name, numbers when left out.
        time_unit: for the axis.
    """
    if len(scored) == 0:
        return style.message("There are no windows.")
    scored = scored.sorted()
    chosen = _chosen_units(scored, units)
    columns = min(3, len(chosen))
    rows = -(-len(chosen) // columns)
    figure, panels = style.canvas(rows, columns, height=0.6 + 2.1 * rows, sharey=True)
    low, high = np.quantile(scored.score[np.isin(scored.unit, chosen)], [0.0, 1.0])
    low, high = min(low, threshold), max(high, threshold)
    by_life = bool(np.isfinite(scored.remaining_life[np.isin(scored.unit, chosen)]).all())
    # timestamps are seconds since 1970, which no axis can show
    since_start = bool((scored.time > EPOCH_SECONDS).any())
    label = f"{time_unit}s to failure" if by_life else "seconds since the first window" if since_start else time_unit
    for position, (axes, unit) in enumerate(zip(panels, chosen, strict=False)):
        part = scored.take(scored.unit == unit)
        x = part.remaining_life if by_life else part.time - (part.time[0] if since_start else 0.0)
        _shade(axes, x, part.label == 1)
        marker = "." if len(part) < 5 else None
        axes.plot(x, part.score, color=style.OURS, linewidth=1.1, marker=marker)
        axes.axhline(threshold, color=style.INK, linewidth=1.1, linestyle="--")
        if by_life:
            axes.invert_xaxis()
        style.frame(
            axes,
            title=f"unit {names[unit] if names is not None else unit}",
            x=label if position >= len(chosen) - columns else "",
            y="score" if position % columns == 0 else "",
        )
        margin = 0.05 * (high - low) or 1.0
        axes.set_ylim(low - margin, high + margin)
        axes.locator_params(axis="x", nbins=5)
    for axes in panels[len(chosen) :]:
        axes.set_axis_off()
    words = "dashed: threshold"
    if (scored.label[np.isin(scored.unit, chosen)] == 1).any():
        words += "; shaded: labelled anomalous"
    figure.suptitle(f"Score over life ({words})", fontsize=11, color=style.INK, x=0.01, ha="left")
    return style.png(figure)


def comparison_figure(
    results: Mapping[str, Mapping[str, float]], *, name: str = "VAE", metric: str = "pr_auc", title: str = "PR-AUC"
) -> bytes:
    """Detector and baselines as bars, best on top, with 95 % intervals over units.

    Args:
        results: detector and baselines -> metrics as ``detection_metrics`` gives them.
        name: the detector's key in ``results``.
        metric: what the bars show.
        title: its name.
    """
    known = sorted((key for key in results if metric in results[key]), key=lambda key: results[key][metric])
    if not known:
        return style.message(f"{title} could not be computed.")
    figure, (axes,) = style.canvas(height=1.2 + 0.36 * len(known))
    for position, key in enumerate(known):
        found = results[key]
        ours = key == name
        value = found[metric]
        axes.barh(position, value, height=0.68, color=style.OURS if ours else style.GREY)
        low, high = found.get(f"{metric}_low", value), found.get(f"{metric}_high", value)
        axes.plot([low, high], [position, position], color=style.INK, linewidth=1.4, solid_capstyle="butt")
        text = f"{value:.3f}"
        axes.text(max(high, value) + 0.012, position, text, va="center", fontsize=9, color=style.INK)
    style.frame(axes, title=f"{title} beside baselines, with 95 % intervals over units", x=title)
    axes.set_yticks(range(len(known)), [key.replace("_", " ") for key in known])
    for tick, key in zip(axes.get_yticklabels(), known, strict=True):
        tick.set_fontweight("bold" if key == name else "normal")
    axes.grid(visible=False, axis="y")
    axes.set_xlim(0, 1.1)
    axes.set_xticks(np.linspace(0, 1, 6))
    return style.png(figure)


def training_figure(history: Sequence[Mapping[str, float]]) -> bytes:
    """Loss, KL and active units over the epochs, as far as ``history`` (one mapping an epoch) holds them.

    Keys that contain ``loss`` or ``error`` share the first panel, those that contain ``kl`` the second, those that
    contain ``active`` the third; other keys are not drawn. Epochs may lack keys.
    """
    panels = [
        ("Loss", "per window", lambda key: "loss" in key or "error" in key),
        ("KL divergence", "nats per window", lambda key: "kl" in key and "loss" not in key),
        ("Active units", "latents in use", lambda key: "active" in key),
    ]
    keys = list(dict.fromkeys(key for epoch in history for key in epoch))
    shown = [
        (title, y, found) for title, y, belongs in panels if (found := [key for key in keys if belongs(key.lower())])
    ]
    if not shown:
        return style.message("The training history is empty.")
    figure, axes = style.canvas(1, len(shown), height=3.2)
    epochs = np.arange(1, len(history) + 1)
    colours = (style.OURS, *style.OTHERS, style.GREY, style.INK)
    for panel, (title, y, found) in zip(axes, shown, strict=True):
        for key, colour in zip(found, colours, strict=False):
            values = np.array([float(epoch.get(key, np.nan)) for epoch in history])
            marker = "." if len(history) < 30 else None
            panel.plot(epochs, values, color=colour, linewidth=1.5, marker=marker, label=key.replace("_", " "))
        style.frame(panel, title=title, x="epoch", y=y)
        panel.locator_params(axis="x", integer=True, nbins=5)
        panel.margins(y=0.1)
        if title == "Active units":
            panel.set_ylim(bottom=0)
            panel.locator_params(axis="y", integer=True)
        if len(found) > 1:
            panel.legend(frameon=False, fontsize=8.5)
    return style.png(figure)


def _ranked(scored: Scored, baselines: Mapping[str, np.ndarray], name: str, *, precision: bool) -> bytes:
    known = scored.label >= 0
    label = scored.label[known]
    if not (label == 1).any() or not (label == 0).any():
        return style.message((cannot(scored) or ["Labels are missing."])[0])
    curves = {key: Ranking.of(np.asarray(score)[known], label) for key, score in baselines.items()}
    measured = {key: tuple(float(value[0]) for value in curve.both()) for key, curve in curves.items()}
    area = {key: values[int(precision)] for key, values in measured.items()}
    # by PR-AUC in both pictures, so that a baseline keeps its colour
    best = sorted(measured, key=lambda key: -measured[key][1])
    figure, (axes,) = style.canvas(height=5.0)
    for key in reversed(best[NAMED:]):
        axes.plot(*_curve(curves[key], precision=precision), color=style.GREY, linewidth=0.9)
    for key, colour in reversed(list(zip(best, style.OTHERS, strict=False))):
        text = f"{key.replace('_', ' ')}  {area[key]:.3f}"
        axes.plot(*_curve(curves[key], precision=precision), color=colour, linewidth=1.3, label=text)
    ours = Ranking.of(scored.score[known], label)
    value = float((ours.average_precision() if precision else ours.roc_auc())[0])
    axes.plot(*_curve(ours, precision=precision), color=style.OURS, linewidth=2.6, label=f"{name}  {value:.3f}")
    if precision:
        axes.axhline(float((label == 1).mean()), color=style.INK, linewidth=0.9, linestyle=":", label="chance")
        style.frame(axes, title="Precision and recall", x="recall", y="precision")
    else:
        axes.plot([0, 1], [0, 1], color=style.INK, linewidth=0.9, linestyle=":", label="chance")
        style.frame(axes, title="Receiver operating characteristic", x="false-alarm rate", y="recall")
    if len(best) > NAMED:
        axes.plot([], [], color=style.GREY, linewidth=0.9, label=f"{len(best) - NAMED} other baselines")
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.03)
    lines, texts = axes.get_legend_handles_labels()
    # ours first, then the baselines from the best down, then what is no detector
    detectors = len(best[:NAMED]) + 1
    order = [*range(detectors - 1, -1, -1), *range(detectors, len(lines))]
    axes.legend(
        [lines[i] for i in order],
        [texts[i] for i in order],
        title="PR-AUC" if precision else "ROC-AUC",
        title_fontsize=9,
        alignment="left",
        frameon=False,
        fontsize=9,
        loc="upper left" if precision else "lower right",
        bbox_to_anchor=(1.0, 1.0) if precision else None,
    )
    return style.png(figure)


def _curve(ranking: Ranking, *, precision: bool) -> tuple[np.ndarray, np.ndarray]:
    """At most ``POINTS`` points of a curve."""
    true, false = (counts[0] for counts in ranking.counts())
    some = np.unique(np.linspace(0, len(true) - 1, POINTS).astype(int))
    if precision:
        # equal steps of recall: the left end holds few windows and most of the shape
        steps = np.searchsorted(true, np.linspace(0, true[-1], POINTS))
        some = np.unique(np.concatenate([some, np.minimum(steps, len(true) - 1)]))
        true, false = true[some], false[some]
        return true / true[-1], true / (true + false)
    steps = np.minimum(np.searchsorted(true, np.linspace(0, true[-1], POINTS)), len(true) - 1)
    some = np.unique(np.concatenate([some, steps]))
    true, false = np.append(0.0, true[some]), np.append(0.0, false[some])
    return false / false[-1], true / true[-1]


def _chosen_units(scored: Scored, count: int) -> np.ndarray:
    units, inverse, windows = np.unique(scored.unit, return_inverse=True, return_counts=True)
    anomalous = np.bincount(inverse.reshape(-1), weights=scored.label == 1) > 0
    return units[np.sort(np.lexsort((-windows, ~anomalous))[:count])]


def _shade(axes: "Axes", x: np.ndarray, anomalous: np.ndarray) -> None:
    """Shade every run of anomalous windows."""
    edge = np.flatnonzero(np.diff(np.concatenate([[0], anomalous.astype(np.int8), [0]])))
    half = float(np.median(np.abs(np.diff(x)))) / 2 if len(x) > 1 else 0.5
    for start, stop in zip(edge[::2], edge[1::2], strict=True):
        low, high = sorted((float(x[start]), float(x[stop - 1])))
        axes.axvspan(low - half, high + half, color=style.ANOMALOUS, alpha=0.18, linewidth=0)
