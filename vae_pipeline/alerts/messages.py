"""Alerts to messages: one each, or one for many of a kind."""

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from vae_pipeline.alerts.alert import Kind, Severity, level
from vae_pipeline.alerts.outbox import Kept

__all__ = ["MANY", "Message", "messages"]

MANY = 4
"""So many waiting alerts of a kind become one message."""
_SHOWN = 10

_TITLES: dict[Kind, str] = {
    "anomalies": "anomalies",
    "drift": "drift",
    "validation": "data unfit",
    "run_failure": "run failed",
    "promotion": "new champion",
    "retraining": "retraining",
    "data": "new data",
    "test": "test",
}


class Message(NamedTuple):
    """What is sent at once.

    Attributes:
        alerts: ids of the alerts in it, in order.
        subjects: that it is about.
        severity: the highest of its alerts.
        over: whether it says that alarms are over.
    """

    alerts: tuple[int, ...]
    subjects: tuple[str, ...]
    title: str
    body: str
    severity: Severity
    over: bool


def messages(waiting: Sequence[Kept]) -> list[Message]:
    """Messages for waiting alerts, oldest first.

    Of each subject the order is kept. `MANY` or more of a kind become one message with counts, and more than one only
    where a subject's order asks for it.
    """
    counted = Counter((kept.alert.kind, kept.alert.over) for kept in waiting)
    groups: list[list[Kept]] = []
    latest: dict[str, int] = {}  # of each subject the last group that it is in
    for kept in waiting:
        kind, subject = (kept.alert.kind, kept.alert.over), kept.alert.subject
        place = len(groups)
        if counted[kind] >= MANY:
            first = latest.get(subject, 0)
            known = (n for n in range(first, len(groups)) if (groups[n][0].alert.kind, groups[n][0].alert.over) == kind)
            place = next(known, place)
        if place == len(groups):
            groups.append([])
        groups[place].append(kept)
        latest[subject] = place
    return [_single(group[0]) if len(group) == 1 else _grouped(group) for group in groups]


def _single(kept: Kept) -> Message:
    alert = kept.alert
    lines = [alert.text]
    if kept.before:
        times = "once more" if kept.before == 1 else f"{kept.before} more times"
        lines.append(f"It came {times} since it was told last.")
    if alert.link:
        lines.append(alert.link)
    lines.append(_clock(alert.time))
    title = f"{alert.subject}: {_TITLES[alert.kind]}{' is over' if alert.over else ''}"
    return Message((kept.id,), (alert.subject,), title, "\n".join(lines), alert.severity, alert.over)


def _grouped(group: Sequence[Kept]) -> Message:
    by_subject: dict[str, list[Kept]] = {}
    for kept in group:
        by_subject.setdefault(kept.alert.subject, []).append(kept)
    first = group[0].alert
    lines = [f"From {_clock(min(kept.alert.time for kept in group))} to {_clock(max(k.alert.time for k in group))}:"]
    for subject, found in list(by_subject.items())[:_SHOWN]:
        count = f" ({len(found)}, the last of them)" if len(found) > 1 else ""
        lines.append(f"- {subject}{count}: {found[-1].alert.text}")
    if len(by_subject) > _SHOWN:
        lines.append(f"- and {len(by_subject) - _SHOWN} more")
    lines += [link for link in (found[-1].alert.link for found in by_subject.values()) if link][:1]
    title = f"{len(group)} alerts: {_TITLES[first.kind]}{' is over' if first.over else ''}"
    severity = max(group, key=lambda kept: level(kept.alert.severity)).alert.severity
    return Message(
        tuple(kept.id for kept in group), tuple(by_subject), title, "\n".join(lines), severity, over=first.over
    )


def _clock(time: dt.datetime) -> str:
    return f"{time.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC"
