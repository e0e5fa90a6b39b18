"""From what happened in the pipeline to what people are told; knows names and values, and nothing of Dagster."""

import datetime as dt
from collections.abc import Mapping
from typing import Any, NamedTuple

from vae_pipeline.alerts.alert import Alert
from vae_pipeline.storage import fingerprint

__all__ = ["JUDGED", "WATCHED", "Event", "Failure", "alert_of", "alert_of_failure"]

_NAMED = 5
_REACHED = ("http://", "https://")


class Event(NamedTuple):
    """A stage was materialized.

    Attributes:
        line: of the stage.
        stage: one of `WATCHED`; of others nothing is told.
        dataset: the partition; empty where there is none.
        facts: the metadata that are numbers, texts, truths or addresses.
        failed: names of the critical statements that do not hold, of a stage that is one of `JUDGED`.
        time: when.
        origin: identifies the event.
        link: where to read on.
    """

    line: str
    stage: str
    dataset: str
    facts: Mapping[str, Any]
    failed: tuple[str, ...]
    time: dt.datetime
    origin: str
    link: str | None = None

    @property
    def subject(self) -> str:
        """What it is about: the dataset of the line."""
        return f"{self.line}/{self.dataset}" if self.dataset else self.line

    def alert(self, kind: Any, severity: Any, text: str, *, part: str = "", over: bool = False) -> Alert:
        """An alert about it; ``part`` tells it from others of its kind and subject."""
        key = f"{kind}/{self.subject}{f'/{part}' if part else ''}"
        pages = (self.facts.get(name) for name in ("page", "html", "report"))
        # a file's address leads nowhere but on the machine that made it
        link = next((page for page in pages if isinstance(page, str) and page.startswith(_REACHED)), self.link)
        common = {"subject": self.subject, "text": text, "time": self.time, "link": link, "origin": self.origin}
        common["day"] = _day(self.facts.get("until", self.facts.get("day")))
        return Alert(kind=kind, severity=severity, key=key, over=over, **common)


class Failure(NamedTuple):
    """A run failed.

    Attributes:
        job: its name.
        dataset: its partition; empty where it has none.
        step: that failed; empty where none began.
        error: what it said.
        run: its id.
        time: when.
        link: where to read on.
    """

    job: str
    dataset: str
    step: str
    error: str
    run: str
    time: dt.datetime
    link: str | None = None


def alert_of(event: Event) -> Alert | None:
    """What people are told of an event; None where it is nothing to tell.

    A name that is missing in the facts says nothing: no alert is made of it, and no end of one.
    """
    tell = WATCHED.get(event.stage)
    return tell(event) if tell else None


def alert_of_failure(failure: Failure) -> Alert:
    """What people are told of a failed run; the same job, dataset, step and error are the same alert."""
    subject = f"{failure.job}/{failure.dataset}" if failure.dataset else failure.job
    step = f" in step {failure.step}" if failure.step else ""
    error = " ".join(failure.error.split()) or "no reason was given"
    return Alert(
        kind="run_failure",
        severity="critical",
        subject=subject,
        text=f"Run {failure.run[:8]} of {subject} failed{step}: {error}",
        time=failure.time,
        key=f"run_failure/{subject}/{failure.step}/{fingerprint(error)}",
        link=failure.link,
        origin=f"run/{failure.run}",
    )


def _promoted(event: Event) -> Alert | None:
    promoted, reason = event.facts.get("promoted"), _sentence(event.facts.get("reason"))
    champion, challenger = event.facts.get("champion"), event.facts.get("challenger")
    if promoted is None:
        return None
    if not promoted:
        number = "The challenger" if challenger is None else f"Version {challenger}"
        stays = "" if champion is None else f"; version {champion} stays champion"
        return event.alert("retraining", "info", f"{number} did not win{stays}. {reason}", part=f"version {challenger}")
    before = event.facts.get("before")
    if champion is not None and champion == before:
        return None
    instead = "" if before is None else f" instead of version {before}"
    version = "A new version" if champion is None else f"Version {champion}"
    text = f"{version} is champion of {event.subject} now{instead}. {reason}"
    return event.alert("promotion", "info", text, part=f"version {champion}")


def _validated(event: Event) -> Alert | None:
    count = _number(event.facts.get("critical_failures"))
    if event.failed:  # the count is of both parts, train and test
        count = float(len(event.failed))
    if count is None:
        return None
    if not count:
        return event.alert("validation", "info", f"The data of {event.subject} are fit for use again.", over=True)
    named = _list(event.failed)
    statements = "a critical statement does not hold" if count == 1 else f"{count:.0f} critical statements do not hold"
    text = f"The data of {event.subject} are unfit: {statements}{f' ({named})' if named else ''}; nothing is trained."
    return event.alert("validation", "critical", text)


def _drift_report(event: Event) -> Alert | None:
    drifted, samples = event.facts.get("drifted"), _number(event.facts.get("samples"))
    if drifted is None and "no_drift" in event.failed:
        drifted = True
    if drifted is None:
        return None
    day = f" on {event.facts['day']}" if event.facts.get("day") else ""
    count = "" if samples is None else f", of {samples:,.0f} samples"
    reason = _sentence(event.facts.get("reason"))
    if drifted:
        where = _kept(event.facts.get("report"))
        return event.alert("drift", "warning", f"{event.subject} drifts{day}{count}. {reason}{where}")
    if samples == 0 or event.facts.get("verdict") == "too_few":  # nothing is known of such a day
        return None
    return event.alert("drift", "info", f"Drift of {event.subject} is over{day}{count}. {reason}", over=True)


def _received(event: Event) -> Alert | None:
    accepted, refused = event.facts.get("accepted"), _number(event.facts.get("refused"))
    reason = _sentence(event.facts.get("reason"))
    if refused:
        batches = "A batch" if refused == 1 else f"{refused:,.0f} batches"
        text = f"{batches} of new data of {event.subject} {'was' if refused == 1 else 'were'} refused. {reason}"
        return event.alert("data", "warning", text, part=reason)
    if refused is None and accepted is not None and not accepted:
        return event.alert("data", "warning", f"New data of {event.subject} were refused. {reason}", part=reason)
    return None


WATCHED = {"promoted": _promoted, "validated": _validated, "drift_report": _drift_report, "received": _received}
"""The stages of which something is told, each with how."""

JUDGED = ("validated", "drift_report")
"""Those whose failed checks matter to what is told."""


def _day(value: Any) -> dt.date | None:
    try:
        return dt.date.fromisoformat(value)
    except (TypeError, ValueError):
        return None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _sentence(value: Any) -> str:
    text = " ".join(str(value or "").split())
    return f"{text[0].upper()}{text[1:]}{'' if text[-1] in '.!?' else '.'}" if text else ""


def _kept(report: Any) -> str:
    """Where a report lies in the storage, in a sentence."""
    named = isinstance(report, str) and report and "://" not in report
    return f" The report is {report} in the storage; make reports shows all." if named else ""


def _list(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"
