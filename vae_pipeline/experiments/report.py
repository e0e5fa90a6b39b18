"""The folder of a finished search: the best, the table of trials, two pictures."""

import csv
import io
from pathlib import Path

from vae_pipeline.experiments.best import Best
from vae_pipeline.experiments.figures import history_figure, importance_figure
from vae_pipeline.storage import write_bytes, write_json

__all__ = ["write_tuned"]

_COLUMNS = ("number", "state", "value", "roc_auc", "pr_auc", "epochs", "seconds", "default", "reason")


def write_tuned(best: Best, folder: Path) -> None:
    """Write ``best.json``, ``trials.csv``, ``history.png`` and ``importance.png``."""
    write_json(folder / "best.json", best)
    names = sorted(best.parameters)
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow([*_COLUMNS, *names])
    for row in best.trials:
        writer.writerow([*(getattr(row, name) for name in _COLUMNS), *(row.parameters.get(name) for name in names)])
    write_bytes(folder / "trials.csv", table.getvalue().encode())
    write_bytes(folder / "history.png", history_figure(best.trials))
    write_bytes(folder / "importance.png", importance_figure(best.importance))
