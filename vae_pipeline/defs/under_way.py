"""Whether a job is at work, and when what a run left undone is asked for again."""

import datetime as dt
from typing import NamedTuple

import dagster as dg

__all__ = ["Ended", "ended", "run_under_way"]

_RECENT = 10
"""Newest runs of a job and partition among which one may be under way."""


_RUN_KEY = "dagster/run_key"
_LONGEST_WAIT = dt.timedelta(hours=1)


class Ended(NamedTuple):
    """A run that ended without doing its work, and when another is asked for."""

    run: str
    again: dt.datetime

    @property
    def waits(self) -> bool:
        """Whether it is too early for another."""
        return dt.datetime.now(dt.UTC) < self.again


def run_under_way(instance: dg.DagsterInstance, job: str, partition: str | None = None) -> dg.DagsterRun | None:
    """The run of this job and partition that waits or goes on; None where there is none."""
    tags = {} if partition is None else {"dagster/partition": partition}
    recent = instance.get_runs(dg.RunsFilter(job_name=job, tags=tags), limit=_RECENT)
    return next((run for run in recent if not run.is_finished), None)


def ended(instance: dg.DagsterInstance, key: str, attempt: int) -> Ended | None:
    """The run that was asked for by this key, whose work is still to be done; None where it was not launched.

    Another is asked for 2^attempt minutes after its end, an hour at most: what failed for an outage is done soon after
    that, and what fails for ever costs little.
    """
    record = next(iter(instance.get_run_records(dg.RunsFilter(tags={_RUN_KEY: key}), limit=1)), None)
    if record is None:
        return None
    end = dt.datetime.fromtimestamp(record.end_time, dt.UTC) if record.end_time else record.update_timestamp
    wait = min(dt.timedelta(minutes=2 ** min(attempt, 6)), _LONGEST_WAIT)
    return Ended(record.dagster_run.run_id[:8], end + wait)
