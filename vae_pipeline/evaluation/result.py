"""What evaluation comes to, and how it is kept: figures, scores, pictures and a model card in one folder."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from vae_pipeline.evaluation.metrics import Scored, intervals
from vae_pipeline.evaluation.ranking import Ranking
from vae_pipeline.records import Record
from vae_pipeline.storage import write_bytes, write_json

__all__ = ["Evaluation", "Told", "ranked", "read_evaluation", "read_scored", "write_result"]

Told = Callable[[str], None]


class Evaluation(Record):
    """Figures of a detector: ``metrics`` on the test part and those of every baseline on the same samples.

    ``groups`` has the figures of each kind of defect or each machine against all normal samples.
    """

    metrics: dict[str, float]
    baselines: dict[str, dict[str, float]]
    cannot: tuple[str, ...] = ()
    groups: dict[str, dict[str, float]] = Field(default={})

    def flat(self) -> dict[str, float]:
        """One name a figure: ``test_pr_auc``, ``baseline_pca_test_pr_auc``."""
        own = {f"test_{name}": value for name, value in self.metrics.items()}
        for baseline, figures_of in self.baselines.items():
            own |= {f"baseline_{baseline}_test_{name}": value for name, value in figures_of.items()}
        return own

    @property
    def best_baseline(self) -> tuple[str, float] | None:
        """The baseline with the highest PR-AUC, and that figure."""
        known = {name: found["pr_auc"] for name, found in self.baselines.items() if "pr_auc" in found}
        return max(known.items(), key=lambda item: item[1]) if known else None


def ranked(scored: Scored) -> dict[str, float]:
    """ROC-AUC, PR-AUC and best F1 of a score, with intervals; empty where a class is missing."""
    labelled = scored.labelled
    if not ((labelled.label == 1).any() and (labelled.label == 0).any()):
        return {}
    ranking = Ranking.of(labelled.score, labelled.label)
    roc_auc, pr_auc = (float(value[0]) for value in ranking.both())
    return {"roc_auc": roc_auc, "pr_auc": pr_auc, "best_f1": ranking.best_f1(), **intervals(scored, draws=100)}


def write_result(
    folder: Path, evaluation: Evaluation, scored: Scored, row: np.ndarray, pictures: Mapping[str, bytes], card: str
) -> None:
    """Write ``evaluation.json``, ``scores.npz``, ``card.md`` and ``figures/``.

    Args:
        folder: an existing folder.
        evaluation: figures.
        scored: the test samples.
        row: what each sample is among the features: the row that ends a window, a clip's code, an image's place, (n,).
        pictures: PNG files by name.
        card: the model card, Markdown.
    """
    for name, picture in pictures.items():
        write_bytes(folder / "figures" / f"{name}.png", picture)
    np.savez(
        folder / "scores.npz",
        score=scored.score,
        label=scored.label,
        unit=scored.unit,
        time=scored.time,
        remaining_life=scored.remaining_life,
        row=row,
    )
    write_bytes(folder / "card.md", card.encode())
    write_json(folder / "evaluation.json", evaluation)


def read_evaluation(folder: Path) -> Evaluation:
    """What `evaluate` wrote."""
    content: dict[str, Any] = json.loads((folder / "evaluation.json").read_text())
    return Evaluation.model_validate(content)


def read_scored(folder: Path) -> tuple[Scored, np.ndarray]:
    """The scored test windows that `evaluate` wrote, and the feature row that ends each, shape (n,)."""
    with np.load(folder / "scores.npz", allow_pickle=False) as stored:
        names = ("score", "label", "unit", "time", "remaining_life")
        return Scored(**{name: stored[name] for name in names}), stored["row"]
