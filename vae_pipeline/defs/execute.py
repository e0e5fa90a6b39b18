"""One partition of a line's job, in this process, with its progress told line by line."""

import logging
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg

from vae_pipeline.errors import VaePipelineError
from vae_pipeline.processes import OWNER_TAG, is_gone, this_process
from vae_pipeline.records import Line
from vae_pipeline.settings import Settings
from vae_pipeline.storage import told

__all__ = ["PipelineFailedError", "open_instance", "run_partition"]

_FRAMEWORK = "Dependencies for step"

Tell = Callable[[str, str], None]
"""Called with a stage's name and a line about it."""


class PipelineFailedError(VaePipelineError):
    """A stage failed; the text is the stage's own sentence."""


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The Dagster instance of ``DAGSTER_HOME``, or of ``<home>/dagster`` where that is not set.

    Runs that a killed process of this machine left as started are reported as failed first.

    Raises:
        StorageError: its folder cannot be made.
    """
    if "DAGSTER_HOME" not in os.environ:
        home = settings.home / "dagster"
        with told(home):
            home.mkdir(parents=True, exist_ok=True)
            stated = Path(__file__).parents[2] / "dagster.yaml"
            if stated.exists():
                shutil.copyfile(stated, home / "dagster.yaml")
        os.environ["DAGSTER_HOME"] = str(home)
    instance = dg.DagsterInstance.get()
    unfinished = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING])
    for run in instance.get_runs(unfinished):
        if is_gone(run.tags.get(OWNER_TAG, "")):
            instance.report_run_failed(run, "its process was killed")
    return instance


def run_partition(
    line: Line, dataset: str, config: dict[str, Any], instance: dg.DagsterInstance, tell: Tell
) -> dict[str, dict[str, Any]]:
    """Run the line's job for one dataset; gives every stage's metadata as plain values.

    Args:
        line: whose job.
        dataset: the partition.
        config: run config of the ops, such as ``{"trained": {"config": {"epochs": 5}}}``, by stage.
        instance: where the run is recorded.
        tell: called as the run goes on.

    Raises:
        PipelineFailedError: a stage failed, or a blocking check did.
    """
    from vae_pipeline.definitions import defs

    job = defs().resolve_job_def(line)
    run_id = str(uuid.uuid4())
    failures: list[str] = []
    found: dict[str, dict[str, Any]] = {}

    def listen(entry: dg.EventLogEntry) -> None:
        event = entry.dagster_event
        stage = (entry.step_key or "").removeprefix(f"{line}__")
        if event is None:
            if entry.level >= logging.INFO and stage and not entry.user_message.startswith(_FRAMEWORK):
                tell(stage, entry.user_message)
        elif event.event_type == dg.DagsterEventType.STEP_FAILURE:
            failures.append(_sentence(event))
        elif event.event_type == dg.DagsterEventType.STEP_UP_FOR_RETRY:
            tell(stage, "failed, trying again")
        elif event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION:
            materialization = event.step_materialization_data.materialization
            values = {key: getattr(value, "value", None) for key, value in materialization.metadata.items()}
            found[stage] = values
            tell(stage, "unchanged" if values.get("reused") else "done")

    instance.add_event_listener(run_id, listen)
    result = job.execute_in_process(
        instance=instance,
        run_id=run_id,
        partition_key=dataset,
        run_config={
            "ops": {f"{line}__{stage}": value for stage, value in config.items()},
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        },
        tags={OWNER_TAG: this_process()},
        raise_on_error=False,
    )
    if not result.success:
        raise PipelineFailedError(failures[0] if failures else f"the run {result.run_id} failed")
    return found


def _sentence(event: dg.DagsterEvent) -> str:
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error else "a stage failed without an error"
