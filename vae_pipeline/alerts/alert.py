"""What a person is told: one happening or one state, in one to a few sentences."""

import datetime as dt
from typing import Literal, get_args

from pydantic import AwareDatetime, Field, field_validator

from vae_pipeline.records import Record

__all__ = ["SEVERITIES", "Alert", "Kind", "Severity", "level"]

Kind = Literal["anomalies", "drift", "validation", "run_failure", "promotion", "retraining", "data", "test"]
Severity = Literal["info", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
_LONGEST = 2_000


def level(severity: Severity) -> int:
    """The place of a severity among all, 0 for info."""
    return SEVERITIES.index(severity)


class Alert(Record):
    """One alert, as it waits in the outbox."""

    kind: Kind
    severity: Severity
    subject: str = Field(description="what it is about, such as timeseries/FD001; order is kept within a subject")
    text: str = Field(description="one to a few sentences; line breaks become spaces, what is very long is cut")
    time: AwareDatetime = Field(description="when it happened")
    key: str = Field(description="what makes two alerts the same; of a state, an alarm and its end share the key")
    over: bool = Field(default=False, description="says that the alarm of this key is over")
    day: dt.date | None = Field(
        default=None, description="the last day that it speaks of; an end of an earlier day ends no later alarm"
    )
    link: str | None = Field(default=None, description="where to read on")
    origin: str | None = Field(
        default=None, description="names the event it was made of; of one origin only the first is taken"
    )

    @field_validator("text", "subject", "key", "link", "origin", mode="before")
    @classmethod
    def _plain(cls, value: object) -> object:
        """A text that can be written and shown, whatever name in the data it was made of."""
        if not isinstance(value, str):
            return value
        writable = value.encode("utf-8", "replace").decode()
        line = " ".join("".join(letter if letter.isprintable() else " " for letter in writable).split())
        return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
