"""Whether a job is at work on a partition."""

import dagster as dg

__all__ = ["run_under_way"]

_RECENT = 10
"""Newest runs of a job and partition among which one may be under way."""


def run_under_way(instance: dg.DagsterInstance, job: str, partition: str) -> dg.DagsterRun | None:
    """The run of this job and partition that waits or goes on; None where there is none."""
    recent = instance.get_runs(dg.RunsFilter(job_name=job, tags={"dagster/partition": partition}), limit=_RECENT)
    return next((run for run in recent if not run.is_finished), None)
