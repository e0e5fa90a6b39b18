"""The schedule that judges yesterday: every dataset with a champion, once a day."""

import datetime as dt
from typing import Any

import dagster as dg

from vae_pipeline.defs.partitions import line_partitions
from vae_pipeline.defs.resources import MlflowResource
from vae_pipeline.errors import VaePipelineError
from vae_pipeline.records import Line

__all__ = ["drift_daily_schedule", "drift_job"]


def drift_job(line: Line) -> Any:
    """The drift report of one dataset."""
    return dg.define_asset_job(
        f"{line}_drift",
        selection=dg.AssetSelection.assets([line, "drift_report"]),
        description="What was served on a day beside what the champion was calibrated on, for one dataset.",
        executor_def=dg.in_process_executor,
    )


def drift_daily_schedule(line: Line) -> dg.ScheduleDefinition:
    """Requests yesterday's report of every dataset with a champion; the same day is requested once."""
    partitions = line_partitions(line)

    @dg.schedule(
        job_name=f"{line}_drift",
        cron_schedule="30 2 * * *",
        execution_timezone="UTC",
        name=f"{line}_drift_daily",
        description="02:30 UTC: yesterday's predictions of every dataset with a champion, beside its reference.",
        default_status=dg.DefaultScheduleStatus.STOPPED,
    )
    def drift_daily(
        context: dg.ScheduleEvaluationContext, mlflow: MlflowResource
    ) -> dg.SkipReason | list[dg.RunRequest]:
        try:
            champions = mlflow.shelf.champions(line)
        except VaePipelineError as error:
            return dg.SkipReason(f"the registry cannot be asked: {error}")
        known = set(partitions.get_partition_keys())
        datasets = [entry.dataset for entry in champions if entry.dataset in known]
        if not datasets:
            return dg.SkipReason(f"{line} has no champion yet: run the line first")
        day = (context.scheduled_execution_time.astimezone(dt.UTC).date() - dt.timedelta(days=1)).isoformat()
        config = {"ops": {f"{line}__drift_report": {"config": {"day": day}}}}
        return [
            dg.RunRequest(run_key=f"drift-{day}-{dataset}", partition_key=dataset, run_config=config)
            for dataset in datasets
        ]

    return drift_daily
