"""How well a score finds the anomalous windows of a part."""

from dataclasses import dataclass, replace

import numpy as np

from vae_pipeline.errors import DataError
from vae_pipeline.evaluation.lead_time import lead_times
from vae_pipeline.evaluation.ranking import Ranking, resamples
from vae_pipeline.evaluation.volume import vus_pr

__all__ = ["Scored", "alarms", "cannot", "detection_metrics", "intervals"]

CHUNK = 4_000_000


@dataclass(frozen=True, eq=False)
class Scored:
    """The scored windows, clips or images of one part, in order.

    Attributes:
        score: the higher the more anomalous, shape (n,).
        label: 1 anomalous, 0 normal, -1 unknown, int8 (n,).
        unit: which unit a window belongs to, int (n,).
        time: of the window's last row, float (n,).
        remaining_life: cycles to failure at the window's last row, nan unknown, float32 (n,).

    Raises:
        DataError: lengths differ, a score is not finite, or a label is none of -1, 0, 1.
    """

    score: np.ndarray
    label: np.ndarray
    unit: np.ndarray
    time: np.ndarray
    remaining_life: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.score)
        for name in ("score", "label", "unit", "time", "remaining_life"):
            shape = getattr(self, name).shape
            if shape != (n,):
                msg = f"scored windows: {name} has shape {shape} where ({n},) is needed; give one value a window"
                raise DataError(msg)
        bad = np.flatnonzero(~np.isfinite(self.score))
        if len(bad):
            msg = f"scored windows: the score of window {bad[0]} is {self.score[bad[0]]}; every score must be finite"
            raise DataError(msg)
        bad = np.flatnonzero((self.label < -1) | (self.label > 1))
        if len(bad):
            msg = f"scored windows: the label of window {bad[0]} is {self.label[bad[0]]}; use -1, 0 or 1"
            raise DataError(msg)

    @staticmethod
    def alone(score: np.ndarray, label: np.ndarray) -> "Scored":
        """Samples that stand alone, each its own unit: clips and images."""
        place = np.arange(len(score))
        return Scored(score, label, place, place.astype(np.float64), np.full(len(score), np.nan, dtype=np.float32))

    def __len__(self) -> int:
        return len(self.score)

    def with_score(self, score: np.ndarray) -> "Scored":
        """The same windows with another score, shape (n,)."""
        return replace(self, score=np.asarray(score))

    def take(self, index: np.ndarray) -> "Scored":
        """Some of the windows; ``index`` is boolean or integer."""
        names = ("score", "label", "unit", "time", "remaining_life")
        return Scored(*(getattr(self, name)[index] for name in names))

    def sorted(self) -> "Scored":
        """The windows by unit, then time."""
        return self.take(np.lexsort((self.time, self.unit)))

    @property
    def labelled(self) -> "Scored":
        """The windows whose label is known."""
        return self.take(self.label >= 0)


def alarms(scored: Scored, threshold: float) -> np.ndarray:
    """Whether each window alarms: its score lies above the threshold, bool (n,)."""
    return scored.score > threshold


def detection_metrics(
    scored: Scored,
    threshold: float,
    *,
    healthy_from: float | None = None,
    bootstrap: int = 200,
    seed: int = 0,
    max_buffer: int = 100,
    noun: str = "windows",
) -> dict[str, float]:
    """Every measure of detection that the labels allow; what they do not allow is left out (see ``cannot``).

    Always ``windows``, ``units``, ``alarm_share``. With any labels ``true_positives``, ``false_positives``,
    ``false_negatives``, ``true_negatives``, counted over labelled windows. With both classes ``roc_auc``, ``pr_auc``
    (average precision), ``precision``, ``recall``, ``f1``, ``best_f1`` (the best any threshold could do),
    ``f1_ratio`` (f1 / best_f1), ``vus_pr``, and 95 % bootstrap intervals over units ``roc_auc_low``/``_high``,
    ``pr_auc_low``/``_high``, ``f1_low``/``_high``. With remaining life ``lead_time_median`` (cycles, over detected
    units) and ``lead_time_share`` (units detected). ``false_alarms_per_1000`` counts alarms per 1,000 healthy windows.
    F1 is by window and never point-adjusted.

    Args:
        scored: the windows.
        threshold: windows above it alarm.
        healthy_from: with remaining life, windows with at least that much are healthy; else those labelled 0.
        bootstrap: draws of units, 0 for no intervals.
        seed: of the draws.
        max_buffer: the widest buffer of VUS-PR, in windows.
        noun: what the samples are; ``clips`` and ``images`` stand alone, without an order in time, so VUS-PR and lead
            time are left out, and ``partial_auc`` (up to a false-alarm rate of 0.1) is added for clips.
    """
    scored = scored.sorted()
    alarm = alarms(scored, threshold)
    result: dict[str, float] = {noun: float(len(scored))}
    if noun == "windows":
        result["units"] = float(len(np.unique(scored.unit)))
    if len(scored) == 0:
        return result
    result["alarm_share"] = float(alarm.mean())
    result |= _counts(alarm, scored.label)
    result |= _false_alarms(scored, alarm, healthy_from)
    if not _has_both(scored):
        return result
    labelled = scored.labelled
    ranking = Ranking.of(labelled.score, labelled.label)
    roc_auc, pr_auc = (float(value[0]) for value in ranking.both())
    best = ranking.best_f1()
    result |= _rates(result) | {"roc_auc": roc_auc, "pr_auc": pr_auc, "best_f1": best}
    result["f1_ratio"] = result["f1"] / best
    if noun != "windows":
        if noun == "clips":
            result["partial_auc"] = float(ranking.partial_auc()[0])
        return result | (intervals(scored, threshold, draws=bootstrap, seed=seed, noun=noun) if bootstrap else {})
    result["vus_pr"] = vus_pr(labelled.score, labelled.label, labelled.unit, max_buffer=max_buffer)
    lead = lead_times(alarm, scored.label, scored.unit, scored.remaining_life)
    if len(lead):
        result["lead_time_share"] = float(np.isfinite(lead).mean())
        if np.isfinite(lead).any():
            result["lead_time_median"] = float(np.nanmedian(lead))
    if bootstrap:
        result |= intervals(scored, threshold, draws=bootstrap, seed=seed)
    return result


def intervals(
    scored: Scored, threshold: float | None = None, *, draws: int = 200, seed: int = 0, noun: str = "windows"
) -> dict[str, float]:
    """95 % bootstrap intervals over units: ``roc_auc``, ``pr_auc`` and, given a threshold, ``f1``, ``_low``/``_high``.

    Of clips ``partial_auc`` as well.

    Draws that lack a class are left out; with fewer than 20 draws left there is no interval. A single unit is drawn
    in contiguous blocks.
    """
    labelled = scored.labelled.sorted()
    if not _has_both(labelled):
        return {}
    group, multiplicity = resamples(labelled.unit, draws, seed)
    roc_auc, pr_auc = ranked_draws(labelled, group, multiplicity)
    found = {"roc_auc": roc_auc, "pr_auc": pr_auc}
    if noun == "clips":
        found["partial_auc"] = Ranking.of(labelled.score, labelled.label).partial_auc(multiplicity[:, group])
    if threshold is not None:
        alarm = alarms(labelled, threshold)
        groups = multiplicity.shape[1]
        parts = [alarm & (labelled.label == 1), alarm & (labelled.label == 0), ~alarm & (labelled.label == 1)]
        true, false, missed = (multiplicity @ np.bincount(group, weights=part, minlength=groups) for part in parts)
        total = 2 * true + false + missed
        f1 = np.divide(2 * true, total, out=np.full_like(true, np.nan), where=total > 0)
        found["f1"] = np.where(np.isnan(roc_auc), np.nan, f1)
    result = {}
    for name, values in found.items():
        known = values[np.isfinite(values)]
        if len(known) >= 20:
            low, high = np.quantile(known, [0.025, 0.975])
            result |= {f"{name}_low": float(low), f"{name}_high": float(high)}
    return result


def ranked_draws(labelled: Scored, group: np.ndarray, multiplicity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ROC-AUC and average precision of every draw, each (draws,); see ``resamples`` for the other two arguments."""
    ranking = Ranking.of(labelled.score, labelled.label)
    step = max(1, CHUNK // max(1, len(labelled)))
    drawn = [ranking.both(multiplicity[first : first + step, group]) for first in range(0, len(multiplicity), step)]
    return np.concatenate([roc for roc, _ in drawn]), np.concatenate([precision for _, precision in drawn])


def cannot(scored: Scored, noun: str = "windows") -> list[str]:
    """What cannot be computed for these samples and why, one sentence each; empty when everything can."""
    sentences = []
    if len(scored) == 0:
        return [f"Nothing can be computed: there are no {noun}."]
    ranked = f"ROC-AUC, PR-AUC{', F1 and VUS-PR' if noun == 'windows' else ' and F1'} cannot be computed: "
    if not (scored.label >= 0).any():
        sentences.append(f"{ranked}no {noun[:-1]} has a label.")
    elif not (scored.label == 1).any():
        sentences.append(f"{ranked}no {noun[:-1]} is labelled anomalous.")
    elif not (scored.label == 0).any():
        sentences.append(f"{ranked}no {noun[:-1]} is labelled normal.")
    if noun != "windows":
        return sentences
    if not np.isfinite(scored.remaining_life).any():
        sentences.append("Lead time cannot be computed: the remaining life of no window is known.")
    elif not (scored.label == 1).any():
        sentences.append("Lead time cannot be computed: no unit reaches an anomalous window.")
    if _has_both(scored) and len(np.unique(scored.labelled.unit)) == 1:
        sentences.append(
            "Intervals over units cannot be computed: there is one labelled unit; they are drawn over contiguous "
            "blocks of it instead and say nothing about other units."
        )
    return sentences


def _has_both(scored: Scored) -> bool:
    return bool((scored.label == 1).any() and (scored.label == 0).any())


def _counts(alarm: np.ndarray, label: np.ndarray) -> dict[str, float]:
    if not (label >= 0).any():
        return {}
    return {
        "true_positives": float(np.sum(alarm & (label == 1))),
        "false_positives": float(np.sum(alarm & (label == 0))),
        "false_negatives": float(np.sum(~alarm & (label == 1))),
        "true_negatives": float(np.sum(~alarm & (label == 0))),
    }


def _rates(counts: dict[str, float]) -> dict[str, float]:
    true, false, missed = counts["true_positives"], counts["false_positives"], counts["false_negatives"]
    return {
        "precision": true / (true + false) if true + false else 0.0,
        "recall": true / (true + missed),
        "f1": 2 * true / (2 * true + false + missed),
    }


def _false_alarms(scored: Scored, alarm: np.ndarray, healthy_from: float | None) -> dict[str, float]:
    by_life = healthy_from is not None and np.isfinite(scored.remaining_life).any()
    # comparing nan gives False: unknown remaining life is not healthy
    healthy = scored.remaining_life >= healthy_from if by_life else scored.label == 0
    return {"false_alarms_per_1000": float(1000 * alarm[healthy].mean())} if healthy.any() else {}
