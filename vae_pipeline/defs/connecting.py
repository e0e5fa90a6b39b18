"""Connectors in Dagster: a job that pulls one of them once, and for each a schedule."""

import math
import re

import dagster as dg

from vae_pipeline.connectors.listing import SETTING, pauses
from vae_pipeline.defs.failures import told_to_dagster
from vae_pipeline.defs.resources import StorageResource
from vae_pipeline.defs.under_way import run_under_way
from vae_pipeline.errors import SettingError
from vae_pipeline.settings import load_settings

__all__ = ["connecting_definitions", "cron_of", "schedule_name"]

_JOB = "connect"
_MINUTES = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)
_HOURS = (1, 2, 3, 4, 6, 8, 12)


def connecting_definitions() -> dg.Definitions:
    """The job ``connect``, whose partitions are the connectors, and a schedule ``connect_<name>`` for each.

    Raises:
        SettingError: a file of connectors cannot be read, or two names differ by punctuation alone.
    """
    every = pauses(load_settings().connector_files)
    same = {schedule_name(name): name for name in every}
    for name in every:
        if same[schedule_name(name)] != name:
            msg = f"{SETTING}: {name!r} and {same[schedule_name(name)]!r} are one name to Dagster; rename one of them"
            raise SettingError(msg)
    job = _job(dg.StaticPartitionsDefinition(sorted(every)))
    return dg.Definitions(jobs=[job], schedules=[_schedule(job, name, every[name]) for name in sorted(every)])


def cron_of(seconds: float) -> str:
    """The cron expression that comes nearest to a pause without being more often: from a minute to a day."""
    minutes = math.ceil(seconds / 60)
    for step in _MINUTES:
        if minutes <= step:
            return f"*/{step} * * * *"
    for step in _HOURS:
        if minutes <= 60 * step:
            return f"0 */{step} * * *"
    return "0 0 * * *"


def schedule_name(connector: str) -> str:
    """The schedule of a connector: letters, digits and underscores."""
    return f"{_JOB}_{re.sub('[^A-Za-z0-9_]', '_', connector)}"


def _job(connectors: dg.PartitionsDefinition) -> dg.JobDefinition:
    @dg.op(description="Reads what is new and puts it into incoming/, in batches of bounded size, each row once.")
    def pull(context: dg.OpExecutionContext, storage: StorageResource) -> None:
        with told_to_dagster():
            from vae_pipeline.connectors.connect import connect
            from vae_pipeline.connectors.pull import Pulled

            def tell(pulled: Pulled) -> None:
                for note in pulled.notes:
                    context.log.warning(note)
                counts = {name: count for name, count in pulled.model_dump().items() if isinstance(count, int)}
                context.add_output_metadata({"batches": len(pulled.batches), **counts})
                context.log.info(f"{pulled.rows:,} rows in {len(pulled.batches)} batches")

            connect(context.partition_key, storage.settings, tell=tell)

    @dg.job(
        name=_JOB,
        partitions_def=connectors,
        description=f"Brings what is new in one source to incoming/; its partitions are the connectors of {SETTING}.",
    )
    def connect_once() -> None:
        pull()

    return connect_once


def _schedule(job: dg.JobDefinition, name: str, every: float) -> dg.ScheduleDefinition:
    cron = cron_of(every)

    @dg.schedule(
        job=job,
        name=schedule_name(name),
        cron_schedule=cron,
        execution_timezone="UTC",
        description=f"Pulls the connector {name} ({cron}, from its every of {every:g} s) unless a pull is under way.",
        default_status=dg.DefaultScheduleStatus.STOPPED,
    )
    def connect_again(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        run = run_under_way(context.instance, _JOB, name)
        if run is not None:
            return dg.SkipReason(f"run {run.run_id[:8]} pulls {name} ({run.status.value.lower()})")
        return dg.RunRequest(run_key=f"{name}-{context.scheduled_execution_time.isoformat()}", partition_key=name)

    return connect_again
