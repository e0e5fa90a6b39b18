"""Retrain, wait or alert: one decision from what is known, by rules that are tried in order.

Nothing is read or written here, so that the rules can be tested as a table.
"""

import datetime as dt
from typing import Literal

from pydantic import Field, field_validator

from vae_pipeline.records import Record

__all__ = ["Action", "Decision", "Evidence", "Policy", "decide"]

Action = Literal["retrain", "wait", "alert"]
_WEEK = dt.timedelta(days=7)


class Policy(Record):
    """What a dataset may cost.

    Attributes:
        cooldown: hours between the beginnings of two retrainings, by whomever they were begun.
        fewest_new: share of new samples, of those a model was fitted on last, that is worth a retraining by itself.
        fewest_new_at_drift: the same where drift was found.
        weekly: retrainings in seven days.
        quiet: hours of the day (UTC) in which none begins, as ``22-6``; None for none.
    """

    cooldown: float = Field(default=24.0, ge=0.0)
    fewest_new: float = Field(default=0.2, ge=0.0)
    fewest_new_at_drift: float = Field(default=0.02, ge=0.0)
    weekly: int = Field(default=3, ge=0)
    quiet: str | None = Field(default=None, pattern=r"^([01]?\d|2[0-3])-([01]?\d|2[0-3])$")

    @field_validator("quiet")
    @classmethod
    def _some_hours(cls, value: str | None) -> str | None:
        if value is not None and len({int(hour) for hour in value.split("-")}) == 1:
            msg = f"{value} names no hours; state from and to, such as 22-6"
            raise ValueError(msg)
        return value

    def sleeps(self, now: dt.datetime) -> bool:
        """Whether ``now`` lies in quiet hours."""
        if self.quiet is None:
            return False
        begin, end = (int(hour) for hour in self.quiet.split("-"))
        hour = now.astimezone(dt.UTC).hour
        return begin <= hour < end if begin < end else hour >= begin or hour < end


class Evidence(Record):
    """What speaks for and against retraining a model now.

    Attributes:
        drifted: whether the newest report found drift.
        day: of that report; None where there is none.
        known: samples the newest model was fitted on, whether it became champion or not.
        new: samples that came since, in accepted batches.
        version: of the data there are now.
        begun: when earlier retrainings began, in any order.
        running: whether one is under way.
    """

    drifted: bool = False
    day: dt.date | None = None
    known: int = Field(default=0, ge=0)
    new: int = Field(default=0, ge=0)
    version: int = Field(default=0, ge=0)
    begun: tuple[dt.datetime, ...] = ()
    running: bool = False


class Decision(Record):
    """What is done, and why, in one sentence."""

    action: Action
    reason: str


def decide(evidence: Evidence, policy: Policy, now: dt.datetime) -> Decision:
    """Weigh the evidence; the first rule that applies decides.

    1. Nothing new and no drift: wait.
    2. A retraining is under way: wait.
    3. Drift, and no new data to learn from: alert, since the same data give the same model.
    4. Less new data than is worth a retraining: alert where there is drift, else wait.
    5. As many retrainings in seven days as are allowed: alert where there is drift, else wait.
    6. The cooldown, then quiet hours: wait.
    7. Retrain.

    Retrainings in the future (a clock went backwards) count for the week and not for the cooldown, which would else
    last until that time comes again.
    """
    return _by_evidence(evidence, policy) or _by_time(evidence, policy, now) or _retrain(evidence)


def _why(evidence: Evidence) -> str:
    return f"drift on {evidence.day}" if evidence.drifted else f"{evidence.new:,} new samples"


def _urgent(evidence: Evidence) -> Action:
    return "alert" if evidence.drifted else "wait"


def _by_evidence(evidence: Evidence, policy: Policy) -> Decision | None:
    """Rules 1 to 4."""
    if not evidence.drifted and not evidence.new:
        return Decision(action="wait", reason="no drift and no new data")
    if evidence.running:
        return Decision(action="wait", reason="a retraining is under way")
    why = _why(evidence)
    if not evidence.new:
        return Decision(action="alert", reason=f"{why}, but no new data to learn from: put them into incoming")
    needed = policy.fewest_new_at_drift if evidence.drifted else policy.fewest_new
    if evidence.new < needed * evidence.known:
        fewest = f"{evidence.new:,} new samples of {needed * evidence.known:,.0f} that are worth a retraining"
        return Decision(action=_urgent(evidence), reason=f"{why}, but {fewest}" if evidence.drifted else fewest)
    return None


def _by_time(evidence: Evidence, policy: Policy, now: dt.datetime) -> Decision | None:
    """Rules 5 and 6."""
    why = _why(evidence)
    recent = sorted(time for time in evidence.begun if now - time < _WEEK)
    if len(recent) >= policy.weekly:
        reason = f"{why}, but {policy.weekly} retrainings in seven days are all that is allowed"
        return Decision(action=_urgent(evidence), reason=reason)
    past = [time for time in recent if time <= now]
    cooled = past[-1] + dt.timedelta(hours=policy.cooldown) if past else now
    if now < cooled:
        reason = f"{why}; the last retraining began less than {policy.cooldown:g} hours ago"
        return Decision(action="wait", reason=reason)
    if policy.sleeps(now):
        return Decision(action="wait", reason=f"{why}; quiet hours ({policy.quiet} UTC)")
    return None


def _retrain(evidence: Evidence) -> Decision:
    both = evidence.drifted and evidence.new
    return Decision(action="retrain", reason=_why(evidence) + (f" and {evidence.new:,} new samples" if both else ""))
