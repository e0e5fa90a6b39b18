"""One partition of a line's job, in this process, with its progress told line by line."""

import logging
import os
import sqlite3
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any, TextIO, cast

import dagster as dg

from vae_pipeline.cluster import require_cluster
from vae_pipeline.defs.lost_runs import end_lost_runs
from vae_pipeline.defs.ray_runs import awaited, write_instance
from vae_pipeline.errors import StorageError, VaePipelineError
from vae_pipeline.processes import OWNER_TAG, this_process
from vae_pipeline.records import Line
from vae_pipeline.settings import Settings, load_settings
from vae_pipeline.storage import told

__all__ = ["PipelineFailedError", "open_instance", "run_partition"]

_FRAMEWORK = "Dependencies for step"
_SHOWN = 3
_LOOK = 0.5
"""Seconds between looks at what other processes wrote."""

_LAUNCHES = 3
"""Times that a run is begun whose node is lost."""

Tell = Callable[[str, str], None]
"""Called with a stage's name and a line about it."""


class PipelineFailedError(VaePipelineError):
    """A stage failed; the text is the stage's own sentence."""


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The Dagster instance of ``DAGSTER_HOME``, or of ``<home>/dagster`` where that is not set.

    Runs that a killed process of this machine left as started are reported as failed first.

    Raises:
        StorageError: its folder or databases cannot be made.
    """
    with _records_told(Path(os.environ.get("DAGSTER_HOME") or settings.home / "dagster")):
        return _opened(settings)


def _opened(settings: Settings) -> dg.DagsterInstance:
    if "DAGSTER_HOME" not in os.environ:
        home = settings.home / "dagster"
        with told(home):
            home.mkdir(parents=True, exist_ok=True)
            write_instance(settings, home)
        os.environ["DAGSTER_HOME"] = str(home)
    instance = dg.DagsterInstance.get()
    end_lost_runs(instance)
    return instance


@contextmanager
def _records_told(home: object) -> Iterator[None]:
    """Turn what Dagster's databases raise, on a full disk for one, into one sentence that names their folder."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with told(home):
            yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise StorageError(_unrecorded(home, str(error))) from error


def _unrecorded(home: object, error: str) -> str:
    reason = error.splitlines()[0].rpartition(") ")[2].rpartition("Error: ")[2]
    return f"{home}: the run cannot be recorded ({reason}); free space, or set VAE_PIPELINE_HOME to another folder"


class _Quiet:
    """Standard error without what Dagster and MLflow print beside the errors they raise and the steps they tell."""

    _NOISE = ("Exception while writing logger call", "Successfully registered", "Registered model", "Created version")

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._dropped = False

    def write(self, text: str) -> int:
        end_of_dropped = self._dropped and text == "\n"
        self._dropped = text.startswith(self._NOISE)
        return len(text) if self._dropped or end_of_dropped else self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def run_partition(
    line: Line,
    dataset: str,
    config: dict[str, Any],
    instance: dg.DagsterInstance,
    tell: Tell,
    job_name: str | None = None,
) -> dict[str, dict[str, Any]]:
    """Run a job of the line for one dataset; gives every stage's metadata as plain values.

    Args:
        line: whose job.
        dataset: the partition.
        config: run config of the ops, such as ``{"trained": {"config": {"epochs": 5}}}``, by stage.
        instance: where the run is recorded.
        tell: called as the run goes on.
        job_name: such as ``timeseries_tune``; the line's own job when left out.

    Raises:
        PipelineFailedError: a stage failed, a blocking check did, or the config has an unknown or wrong entry.
    """
    run_id = str(uuid.uuid4())
    failures: list[str] = []
    unfit: list[str] = []
    found: dict[str, dict[str, Any]] = {}

    def listen(entry: dg.EventLogEntry) -> None:
        event = entry.dagster_event
        stage = (entry.step_key or "").removeprefix(f"{line}__")
        if event is None:
            if int(entry.level) >= logging.INFO and stage and not entry.user_message.startswith(_FRAMEWORK):
                tell(stage, entry.user_message)
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            if check.blocking and not check.passed and check.severity == dg.AssetCheckSeverity.ERROR:
                unfit.append(f"{check.check_name} fails in {check.description}")
        elif event.event_type == dg.DagsterEventType.STEP_FAILURE:
            failures.append(_unfit(dataset, unfit) if unfit else _sentence(event, instance.root_directory))
        elif event.event_type == dg.DagsterEventType.STEP_UP_FOR_RETRY:
            tell(stage, "failed, trying again")
        elif event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION:
            materialization = event.step_materialization_data.materialization
            values = {key: getattr(value, "value", None) for key, value in materialization.metadata.items()}
            found[stage] = values
            tell(stage, "unchanged" if values.get("reused") else "done")

    settings = load_settings()
    if settings.executor == "ray":
        require_cluster(settings)
    run_config = {
        "ops": {f"{line}__{stage}": value for stage, value in config.items()},
        "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
    }
    try:
        with _records_told(instance.root_directory), redirect_stderr(cast("TextIO", _Quiet(sys.stderr))):
            execute = _EXECUTE.get((settings.executor, settings.ray_jobs), _in_processes)
            success = execute(job_name or line, dataset, run_config, run_id, instance, listen)
    except dg.DagsterInvalidConfigError as error:
        raise PipelineFailedError(_config_sentence(error, line)) from error
    if not success:
        raise PipelineFailedError(failures[0] if failures else f"the run {run_id} failed")
    return found


Listen = Callable[[dg.EventLogEntry], None]


def _here(
    name: str, dataset: str, run_config: dict[str, Any], run_id: str, instance: dg.DagsterInstance, listen: Listen
) -> bool:
    """Run all steps in this process."""
    instance.add_event_listener(run_id, listen)
    from vae_pipeline.defs.all_lines import all_lines

    result = (
        all_lines()
        .resolve_job_def(name)
        .execute_in_process(
            instance=instance,
            run_id=run_id,
            partition_key=dataset,
            run_config=run_config,
            tags={OWNER_TAG: this_process()},
            raise_on_error=False,
        )
    )
    return result.success


def _in_processes(
    name: str, dataset: str, run_config: dict[str, Any], run_id: str, instance: dg.DagsterInstance, listen: Listen
) -> bool:
    """Run the steps as the job's executor does; what they write to the event log is told as it comes."""
    from dagster._core.execution.api import execute_run

    job, run = _created(name, dataset, run_config, run_id, instance)
    with _followed(run_id, instance, listen):
        return execute_run(job, run, instance).success


def _as_ray_job(
    name: str, dataset: str, run_config: dict[str, Any], run_id: str, instance: dg.DagsterInstance, listen: Listen
) -> bool:
    """Run the steps in one process on whichever node has room; on another one where that is lost."""
    for left in reversed(range(_LAUNCHES)):
        _, run = _created(name, dataset, run_config, run_id, instance)
        with _followed(run_id, instance, listen):
            ended = awaited(instance, run)
        if ended is not None or not left:
            return bool(ended)
        run_id = str(uuid.uuid4())
    return False


_EXECUTE = {("in_process", "run"): _here, ("in_process", "step"): _here, ("ray", "run"): _as_ray_job}


def _created(name: str, dataset: str, run_config: dict[str, Any], run_id: str, instance: dg.DagsterInstance) -> Any:
    """A job as other processes load it, and a new run of it."""
    from dagster._core.code_pointer import ModuleCodePointer
    from dagster._core.definitions.reconstruct import ReconstructableRepository

    # the processes of steps load the definitions by this pointer, with this Python
    pointer, program = ModuleCodePointer("vae_pipeline.definitions", "defs"), [sys.executable, "-m", "dagster"]
    job = ReconstructableRepository(pointer, entry_point=program).get_reconstructable_job(name)
    run = instance.create_run_for_job(
        job.get_definition(),
        run_id=run_id,
        run_config=run_config,
        tags={OWNER_TAG: this_process(), "dagster/partition": dataset},
        job_code_origin=job.get_python_origin(),
    )
    return job, run


@contextmanager
def _followed(run_id: str, instance: dg.DagsterInstance, listen: Listen) -> Iterator[None]:
    """Tell of a run's events, whichever process writes them; all have been told when the block is left."""
    ended, told = threading.Event(), 0

    def follow() -> None:
        nonlocal told
        last = False
        while not last:
            last = ended.wait(_LOOK)
            entries = instance.all_logs(run_id)
            for entry in entries[told:]:
                listen(entry)
            told = len(entries)

    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(follow)
        try:
            yield
        finally:
            ended.set()
            following.result()


def _unfit(dataset: str, checks: list[str]) -> str:
    """What blocking checks found, as one sentence; the report has the rest."""
    more = f"; and {len(checks) - _SHOWN} more" if len(checks) > _SHOWN else ""
    told = "; ".join(checks[:_SHOWN])
    return f"dataset {dataset!r} is not fit to use: {told}{more}; correct the data or its catalogue entry"


def _config_sentence(error: dg.DagsterInvalidConfigError, line: str) -> str:
    """The first complaint without the schema behind it, its place as ``trained:config:epochs``."""
    text = error.errors[0].message.partition(" Expected: ")[0]
    return " ".join(text.replace(f"root:ops:{line}__", "").split())


def _sentence(event: dg.DagsterEvent, home: str) -> str:
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    if error is not None and error.cls_name == "OperationalError":  # MLflow's are told by the registry
        return _unrecorded(home, error.message)
    if error is not None and "Interrupted" in (error.cls_name or ""):
        return "stopped; finished stages are kept, run it again to go on"
    if error is None:
        return f"the stage {event.step_key} failed without an error"
    return f"the stage {event.step_key} failed: {' '.join(error.message.split())}"
