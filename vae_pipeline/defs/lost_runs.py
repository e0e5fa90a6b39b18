"""Runs whose process is gone, after a kill, a reboot or a restart of the container: found and ended.

Dagster's own monitoring asks the launcher, and one that starts processes of this machine does not know. A run that
stays started holds its place in the queue and its pool, and nothing is trained beside it. So each run is tagged with
the process that executes it, by its executor and whatever launched it, and a sensor looks after these.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.base import Executor

from vae_pipeline.processes import OWNER_TAG, is_gone, this_process

__all__ = ["end_lost_runs", "lost_runs_sensor", "owned"]

_UNFINISHED = (
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


def owned(definition: dg.ExecutorDefinition) -> dg.ExecutorDefinition:
    """The executor, which writes down before the first step which process it runs in."""
    create: Any = definition.executor_creation_fn
    schema: Any = definition.config_schema
    return dg.ExecutorDefinition(
        name=definition.name,
        description=definition.description,
        config_schema=schema,
        requirements=definition._requirements_fn,
        executor_creation_fn=lambda context: _Owned(create(context)),
    )


class _Owned(Executor):
    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    @property
    def retries(self) -> RetryMode:
        return self._executor.retries

    @property
    def step_dependency_config(self) -> Any:
        return self._executor.step_dependency_config

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        """As the executor does, in this process."""
        plan_context.instance.add_run_tags(plan_context.run_id, {OWNER_TAG: this_process()})
        yield from self._executor.execute(plan_context, execution_plan)


def end_lost_runs(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Report runs as failed whose process ran on this machine and is no more; gives these."""
    lost = []
    for run in instance.get_runs(dg.RunsFilter(statuses=list(_UNFINISHED))):
        if is_gone(run.tags.get(OWNER_TAG, "")):
            now = instance.get_run_by_id(run.run_id)
            if now is not None and not now.is_finished:  # it may have ended well in this very moment
                instance.report_run_failed(now, "its process was killed")
                lost.append(now)
    return lost


def lost_runs_sensor() -> dg.SensorDefinition:
    """Ends runs whose process is gone; on unless it is switched off, since training waits for them."""

    @dg.sensor(
        name="lost_runs",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Marks runs as failed whose process on this machine is gone, so that others need not wait.",
    )
    def lost_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        lost = end_lost_runs(context.instance)
        named = ", ".join(f"{run.run_id[:8]} ({run.job_name} {run.tags.get('dagster/partition', '')})" for run in lost)
        return dg.SkipReason(
            f"their processes are gone, marked as failed: {named}" if lost else "every run has its process"
        )

    return lost_runs
