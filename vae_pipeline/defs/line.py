"""A line: the same chain of stages over its datasets, with its job and schedule."""

import dagster as dg

from vae_pipeline.artifacts import chain
from vae_pipeline.defs.champion_changed import champion_changed_sensor
from vae_pipeline.defs.drift_daily import drift_daily_schedule, drift_job
from vae_pipeline.defs.executors import step_executor
from vae_pipeline.defs.new_data import new_data_sensor
from vae_pipeline.defs.partitions import line_partitions
from vae_pipeline.defs.resources import MlflowResource
from vae_pipeline.defs.retrain_sensor import retrain_sensor
from vae_pipeline.defs.stages.bento import bento_asset
from vae_pipeline.defs.stages.calibrated import calibrated_asset
from vae_pipeline.defs.stages.cross_validated import cross_validated_asset
from vae_pipeline.defs.stages.drift_report import drift_report_asset
from vae_pipeline.defs.stages.evaluated import evaluated_asset
from vae_pipeline.defs.stages.explained import explained_asset
from vae_pipeline.defs.stages.features import features_asset
from vae_pipeline.defs.stages.paired import paired_features_asset, paired_raw_asset
from vae_pipeline.defs.stages.promoted import promoted_asset
from vae_pipeline.defs.stages.raw import raw_asset
from vae_pipeline.defs.stages.received import received_asset
from vae_pipeline.defs.stages.registered import registered_asset
from vae_pipeline.defs.stages.trained import trained_asset
from vae_pipeline.defs.stages.tuned import tuned_asset
from vae_pipeline.defs.stages.validated import validated_asset
from vae_pipeline.defs.under_way import run_under_way
from vae_pipeline.errors import VaePipelineError
from vae_pipeline.records import TUNED, Line

__all__ = ["line_definitions"]

_STAGES = (
    raw_asset,
    validated_asset,
    features_asset,
    trained_asset,
    calibrated_asset,
    evaluated_asset,
    explained_asset,
    registered_asset,
    promoted_asset,
)

_ON_DEMAND = (tuned_asset, cross_validated_asset, received_asset)
"""Stages that a person or a sensor asks for; the line runs without them."""

_TUNING = ("raw", "validated", "features", "tuned")


_PAIRED = (paired_raw_asset, paired_features_asset, *_STAGES[3:])
"""The line multimodal stands on the validated features of the two others."""

_SUNDAY = {"timeseries": 3, "vision": 3, "multimodal": 6}
"""Hour of the weekly run; the line of pairs waits for the two it stands on."""


def line_definitions(line: Line) -> dg.Definitions:
    """Assets, jobs, schedules and sensors of a line."""
    partitions = line_partitions(line)
    job = dg.define_asset_job(
        line,
        selection=dg.AssetSelection.assets(*([line, stage] for stage in chain(line))),
        description="From raw data to the champion, for one dataset.",
        executor_def=step_executor(),
    )

    tuning = dg.define_asset_job(
        f"{line}_tune",
        selection=dg.AssetSelection.assets(*([line, stage] for stage in _TUNING)),
        description="Search hyperparameters for one dataset; the line's next run trains with the best.",
        executor_def=step_executor(),
    )

    folds = dg.define_asset_job(
        f"{line}_folds",
        selection=dg.AssetSelection.assets([line, "cross_validated"]),
        description="Cross-validation by unit of what the line's last run trained.",
        executor_def=step_executor(),
    )

    packing = dg.define_asset_job(
        f"{line}_bento",
        selection=dg.AssetSelection.assets([line, "bento"]),
        description="Pack the champions of the line, and ask the Bento their examples.",
        executor_def=dg.in_process_executor,
    )

    intake = dg.define_asset_job(
        f"{line}_intake",
        selection=dg.AssetSelection.assets([line, "received"]),
        description="Take what lies complete in incoming: into the next version of the dataset, or into quarantine.",
        executor_def=dg.in_process_executor,
    )

    @dg.schedule(
        job=job,
        cron_schedule=f"0 {_SUNDAY[line]} * * 0",
        name=f"{line}_retrain_weekly",
        description=f"Sunday {_SUNDAY[line]}:00: run every dataset that has a champion again; what did not change is "
        "not made anew.",
        default_status=dg.DefaultScheduleStatus.STOPPED,
    )
    def retrain_weekly(
        context: dg.ScheduleEvaluationContext, mlflow: MlflowResource
    ) -> dg.SkipReason | list[dg.RunRequest]:
        try:
            champions = {entry.dataset for entry in mlflow.shelf.champions(line)}
        except VaePipelineError as error:
            return dg.SkipReason(f"the registry cannot be asked: {error}")
        known = sorted(champions & set(partitions.get_partition_keys()))
        if not known:
            return dg.SkipReason(f"no dataset of {line} has a champion yet: run the line first")
        busy = {name for name in known if run_under_way(context.instance, line, name)}
        if busy == set(known):
            return dg.SkipReason(f"every dataset of {line} is being trained: {', '.join(known)}")
        week = context.scheduled_execution_time.date().isoformat()
        return [dg.RunRequest(run_key=f"{week}-{name}", partition_key=name) for name in known if name not in busy]

    drift = drift_job(line)
    own = [new_data_sensor(line, set(partitions.get_partition_keys())), retrain_sensor(line)]
    stages = (*_STAGES, *_ON_DEMAND) if line in TUNED else _PAIRED
    return dg.Definitions(
        assets=[*(stage(line) for stage in stages), bento_asset(line), drift_report_asset(line)],
        jobs=[job, packing, drift, tuning, folds, intake] if line in TUNED else [job, packing, drift],
        schedules=[retrain_weekly, drift_daily_schedule(line)],
        sensors=[champion_changed_sensor(line), *(own if line in TUNED else [])],
    )
