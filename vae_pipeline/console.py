"""What the command line prints."""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["StageLog", "alerts_table", "detector_table", "folds_table", "grid", "trials_table"]


_MORE = {"partial_auc": "pAUC", "pixel_auroc": "pixel ROC-AUC", "aupro": "AUPRO"}


def grid(rows: Sequence[Sequence[str]]) -> str:
    """Rows as aligned columns; the first row is underlined."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("─" * width for width in widths), *lines[1:]])


def detector_table(metrics: Mapping[str, float]) -> str:
    """The detector beside its baselines, best PR-AUC first, from flat metrics as the registry keeps them."""
    found: dict[str, dict[str, float]] = {}
    for name, value in metrics.items():
        if name.startswith("baseline_") and "_test_" in name:
            baseline, _, figure = name.removeprefix("baseline_").partition("_test_")
            found.setdefault(baseline.replace("_", " "), {})[figure] = value
        elif name.startswith("test_"):
            found.setdefault("VAE", {})[name.removeprefix("test_")] = value

    def cell(figures: Mapping[str, float], name: str) -> str:
        return f"{figures[name]:.3f}" if name in figures else "–"

    def interval(figures: Mapping[str, float], name: str) -> str:
        low, high = figures.get(f"{name}_low"), figures.get(f"{name}_high")
        return "" if low is None or high is None else f"{low:.3f} – {high:.3f}"

    ranked = sorted(found.items(), key=lambda item: -item[1].get("pr_auc", -1.0))
    more = {key: title for key, title in _MORE.items() if any(key in figures for figures in found.values())}
    rows = [["detector", "ROC-AUC", "PR-AUC", "95 % interval", *more.values(), "F1", "best F1"]]
    for name, figures in ranked:
        shown = [cell(figures, figure) for figure in ("roc_auc", "pr_auc")]
        rest = [cell(figures, figure) for figure in (*more, "f1", "best_f1")]
        rows.append([name, *shown, interval(figures, "pr_auc"), *rest])
    return grid(rows)


def trials_table(trials: Sequence[Any]) -> str:
    """The trials of a search, best first, those that ended early behind; see `vae_pipeline.experiments.best`."""
    names = sorted({name for trial in trials for name in trial.parameters})

    def shown(value: Any) -> str:
        if isinstance(value, list):
            return "-".join(str(item) for item in value)
        return "–" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)

    rows = [["trial", "separation", "ROC-AUC", "PR-AUC", "epochs", "seconds", *names]]
    for trial in sorted(trials, key=lambda trial: (-(trial.value if trial.value is not None else -1.0), trial.number)):
        value = trial.state if trial.value is None else f"{trial.value:.4f}"
        areas = ["–" if area is None else f"{area:.3f}" for area in (trial.roc_auc, trial.pr_auc)]
        number = f"{trial.number} (default)" if trial.default else str(trial.number)
        parameters = [shown(trial.parameters.get(name)) for name in names]
        rows.append([number, value, *areas, str(trial.epochs), f"{trial.seconds:.0f}", *parameters])
    return grid(rows)


def folds_table(folds: Sequence[Any], mean: Mapping[str, float], spread: Mapping[str, float]) -> str:
    """The figures of every fold, their mean and their spread; see `vae_pipeline.experiments.cross_validate`."""

    def row(title: str, count: str, figures: Mapping[str, float]) -> list[str]:
        return [title, count, *(f"{figures[name]:.3f}" if name in figures else "–" for name in mean)]

    rows = [["fold", "held out", *(name.replace("_", " ") for name in mean)]]
    rows += [row(str(fold.number), str(len(fold.held_out)), fold.metrics) for fold in folds]
    return grid([*rows, row("mean", "", mean), row("spread", "", spread)])


def alerts_table(kept: Sequence[Any]) -> str:
    """Alerts with what each channel knows of them, oldest first; see `vae_pipeline.alerts.outbox.Kept`."""
    rows = [["time", "severity", "about", "kind", "told", "text"]]
    for each in kept:
        alert = each.alert
        told = ", ".join(f"{label} {state}" for label, state in sorted(each.states.items())) or "waits"
        kind = f"{alert.kind.replace('_', ' ')}{' is over' if alert.over else ''}"
        again = f" (and {each.repeats} more times)" if each.repeats else ""
        time_ = f"{alert.time:%Y-%m-%d %H:%M:%S}"
        rows.append([time_, alert.severity, alert.subject, kind, told, f"{alert.text}{again}"])
    return grid(rows)


class StageLog:
    """Tells stages as they go: a line when one begins, its remarks, and how long it took."""

    def __init__(self, stages: Sequence[str], *, detailed: bool = True) -> None:
        """Tell the stages in this order; without ``detailed`` remarks are left out."""
        self._stages = list(stages)
        self._detailed = detailed
        self._began = time.perf_counter()

    def __call__(self, stage: str, text: str) -> None:
        """A line about a stage."""
        if text in ("done", "unchanged"):
            now = time.perf_counter()
            number = self._stages.index(stage) + 1 if stage in self._stages else 0
            took = f"{now - self._began:6.1f} s"
            print(f"[{number}/{len(self._stages)}] {stage:<11} {took}  {'' if text == 'done' else text}".rstrip())
            self._began = now
        elif self._detailed:
            print(f"      {text}")
        sys.stdout.flush()
