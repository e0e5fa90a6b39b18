"""Champion against challenger: which model the alias should name."""

import numpy as np

from vae_pipeline.errors import DataError
from vae_pipeline.evaluation.metrics import Scored, detection_metrics, intervals, ranked_draws
from vae_pipeline.evaluation.ranking import resamples
from vae_pipeline.records import Record

__all__ = ["Decision", "compare", "unopposed"]

MARGIN = 0.005
ROC_TOLERANCE = 0.005
FALSE_ALARM_TOLERANCE = 5.0
FALSE_ALARM_RATIO = 1.25
FLOOR = 0.5
NAMES = {"pr_auc": "PR-AUC", "roc_auc": "ROC-AUC"}


class Decision(Record):
    """Whether the challenger becomes champion, and the numbers it rests on.

    ``low`` and ``high`` bound the difference (challenger - champion) at 95 %; ``p_better`` is the share of bootstrap
    draws in which the challenger is better, ties counted half. Numbers that could not be computed are None.
    """

    promote: bool
    reason: str
    metric: str
    challenger: float | None = None
    champion: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p_better: float | None = None


def compare(
    challenger: Scored,
    champion: Scored | None,
    *,
    metric: str = "pr_auc",
    challenger_threshold: float | None = None,
    champion_threshold: float | None = None,
    healthy_from: float | None = None,
    fresher: bool = True,
    draws: int = 500,
    seed: int = 0,
) -> Decision:
    """Decide on the same test windows by a paired bootstrap over units.

    The rule: the challenger is promoted when it is better, or equal and fresher (difference >= 0), not worse by
    chance (the lower end of the difference's 95 % interval lies above -0.005), and no guard is broken. Guards:
    ROC-AUC at most 0.005 lower; with both thresholds, false alarms per 1,000 healthy windows, each at its own
    threshold, at most the larger of 5 more and 1.25 times the champion's. Without a champion the challenger is
    promoted when the lower end of its ROC-AUC's interval lies above 0.5. Where labels do not allow a comparison the
    fresher model is promoted, and the reason says that nothing was compared.

    Args:
        challenger: the test windows with the challenger's scores.
        champion: the same windows with the champion's scores, None when there is no champion.
        metric: ``pr_auc`` or ``roc_auc``.
        challenger_threshold: the challenger's own threshold.
        champion_threshold: the champion's own threshold.
        healthy_from: remaining life from which a window is healthy (see ``detection_metrics``).
        fresher: whether the challenger was trained on newer data or later than the champion.
        draws: bootstrap draws.
        seed: of the draws.

    Raises:
        DataError: the metric is unknown, or the two were not scored on the same windows.
    """
    if metric not in NAMES:
        msg = f"promotion metric {metric!r} is unknown; use pr_auc or roc_auc"
        raise DataError(msg)
    challenger = challenger.sorted()
    comparable = bool((challenger.label == 1).any() and (challenger.label == 0).any())
    if champion is None:
        return _first(challenger, metric, comparable, draws, seed)
    champion = champion.sorted()
    _check_same(challenger, champion)
    if not comparable:
        return _unlabelled(metric, fresher)

    pair = [challenger.labelled, champion.labelled]
    group, multiplicity = resamples(pair[0].unit, draws, seed)
    once = np.ones((1, multiplicity.shape[1]))
    column = 0 if metric == "roc_auc" else 1
    points = [ranked_draws(scored, group, once) for scored in pair]
    new, old = float(points[0][column][0]), float(points[1][column][0])
    drawn = [ranked_draws(scored, group, multiplicity)[column] for scored in pair]
    gaps = (drawn[0] - drawn[1])[np.isfinite(drawn[0])]
    difference = new - old
    low, high = (float(end) for end in np.quantile(gaps, [0.025, 0.975])) if len(gaps) else (difference, difference)
    p_better = float(np.mean(gaps > 0) + np.mean(gaps == 0) / 2) if len(gaps) else 0.5

    broken = _broken_guards(
        (float(points[0][0][0]), float(points[1][0][0])),
        (challenger, champion),
        (challenger_threshold, champion_threshold),
        healthy_from,
    )
    stale = difference == 0 and not fresher
    promote = difference >= 0 and low > -MARGIN and not broken and not stale
    name = NAMES[metric]
    numbers = (
        f"{name} {new:.3f} against the champion's {old:.3f}, difference {difference:+.3f} "
        f"(95 % interval {low:+.3f} to {high:+.3f}, better in {p_better:.0%} of draws)"
    )
    return Decision(
        promote=promote,
        reason=_sentence(promote, difference, low, broken, numbers),
        metric=metric,
        challenger=new,
        champion=old,
        difference=difference,
        low=low,
        high=high,
        p_better=p_better,
    )


def unopposed(challenger: Scored, why: str, *, metric: str = "pr_auc", draws: int = 500, seed: int = 0) -> Decision:
    """Hold a challenger to the floor of a first champion, where the champion there is cannot be compared with it.

    Args:
        challenger: the test windows with the challenger's scores.
        why: nothing can be compared, in words.
        metric: that of the decision.
        draws: bootstrap draws.
        seed: of the draws.
    """
    challenger = challenger.sorted()
    comparable = bool((challenger.label == 1).any() and (challenger.label == 0).any())
    return _first(challenger, metric, comparable, draws, seed, why)


def _sentence(promote: bool, difference: float, low: float, broken: list[str], numbers: str) -> str:
    if promote:
        verdict = "equal and fresher" if difference == 0 else "better"
        return f"Promoted: the challenger is {verdict}: {numbers}."
    if difference == 0 and low > -MARGIN and not broken:
        return f"Not promoted: the challenger is equal and not fresher: {numbers}."
    if difference < 0:
        return f"Not promoted: the challenger is worse: {numbers}."
    if low <= -MARGIN:
        return f"Not promoted: the gain may be chance, as the interval reaches below -{MARGIN}: {numbers}."
    return f"Not promoted: {' and '.join(broken)}, although {numbers}."


def _first(
    challenger: Scored, metric: str, comparable: bool, draws: int, seed: int, why: str | None = None
) -> Decision:
    """The floor; ``why`` says why nothing can be compared, None that there is no champion."""
    first = why is None
    lead, end = "there is no champion, " * first, "." if first else f"; nothing could be compared: {why}"
    if not comparable:
        reason = (
            f"Promoted by default, unmeasured: {lead}{'and ' * first}the test windows lack labels of both classes, so "
            f"that the model could not be held to the floor; look at its scores before relying on it{end}"
        )
        return Decision(promote=True, reason=reason, metric=metric)
    found = intervals(challenger, draws=draws, seed=seed)
    group, multiplicity = np.zeros(len(challenger.labelled), dtype=np.int64), np.ones((1, 1))
    roc_auc, pr_auc = (float(value[0]) for value in ranked_draws(challenger.labelled, group, multiplicity))
    low = found.get("roc_auc_low", roc_auc)
    promote = low > FLOOR
    bound = f"ROC-AUC {roc_auc:.3f} (95 % interval from {low:.3f})"
    reason = (
        f"Promoted: {lead}{'and ' * first}{bound} lies above the floor of {FLOOR}{end}"
        if promote
        else f"Not promoted: {lead}{'but ' * first}{bound} does not lie above the floor of {FLOOR}{end}"
    )
    return Decision(promote=promote, reason=reason, metric=metric, challenger=pr_auc if metric == "pr_auc" else roc_auc)


def _unlabelled(metric: str, fresher: bool) -> Decision:
    nothing = "the test windows lack labels of both classes, so that nothing could be compared"
    reason = (
        f"Promoted because it is fresher: {nothing}."
        if fresher
        else f"Not promoted: {nothing}, and the challenger is not fresher."
    )
    return Decision(promote=fresher, reason=reason, metric=metric)


def _broken_guards(
    roc_auc: tuple[float, float],
    scored: tuple[Scored, Scored],
    thresholds: tuple[float | None, float | None],
    healthy_from: float | None,
) -> list[str]:
    """What is worse by more than its tolerance, in words."""
    broken = []
    if roc_auc[0] < roc_auc[1] - ROC_TOLERANCE:
        broken.append(f"ROC-AUC falls from {roc_auc[1]:.3f} to {roc_auc[0]:.3f}")
    if thresholds[0] is None or thresholds[1] is None:
        return broken
    new, old = (
        detection_metrics(windows, threshold, healthy_from=healthy_from, bootstrap=0, max_buffer=0).get(
            "false_alarms_per_1000", 0.0
        )
        for windows, threshold in zip(scored, (thresholds[0], thresholds[1]), strict=True)
    )
    if new > max(old + FALSE_ALARM_TOLERANCE, old * FALSE_ALARM_RATIO):
        broken.append(f"false alarms rise from {old:.1f} to {new:.1f} per 1,000 healthy windows")
    return broken


def _check_same(challenger: Scored, champion: Scored) -> None:
    if len(challenger) != len(champion):
        msg = (
            f"challenger and champion were scored on {len(challenger)} and {len(champion)} windows; "
            "score both on the same test part"
        )
        raise DataError(msg)
    for name in ("unit", "time", "label"):
        differ = np.flatnonzero(getattr(challenger, name) != getattr(champion, name))
        if len(differ):
            msg = (
                f"challenger and champion differ in the {name} of window {differ[0]}; score both on the same test part"
            )
            raise DataError(msg)
