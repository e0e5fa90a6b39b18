"""Runs on a Ray cluster, each a job of its own: the instance that launches them so, and waiting for one."""

import threading
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from vae_pipeline.cluster import cluster_address, passed_variables, training_resources
from vae_pipeline.errors import SettingError
from vae_pipeline.settings import Settings

__all__ = ["awaited", "instance_config", "write_instance"]

_PACKAGE = Path(__file__).parents[1]
_LAUNCHER = "RayRunLauncher"
_LOOK = 2.0
_LOST_SECONDS = 10
_WAIT_SECONDS = 1800
_RETRIES = 3


def instance_config(stated: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """The contents of ``dagster.yaml`` with runs as the settings have them.

    With Ray a run is a job of the cluster, and one that is lost with its node begins again where it was.

    Raises:
        SettingError: Ray is asked for, and its address is not set.
    """
    if settings.executor != "ray" or settings.ray_jobs != "run":
        return stated
    ray = {
        "address": cluster_address(settings),
        "env_vars": ["DAGSTER_HOME", *(name for name in passed_variables(settings) if name != "DAGSTER_HOME")],
        **training_resources(settings),
    }
    monitoring = {**stated.get("run_monitoring", {}), "poll_interval_seconds": _LOST_SECONDS}
    return {
        **stated,
        "run_launcher": {"module": "dagster_ray", "class": _LAUNCHER, "config": {"ray": ray}},
        # a run may wait for room on a node
        "run_monitoring": {
            **monitoring,
            "poll_interval_seconds": _LOST_SECONDS,
            "start_timeout_seconds": _WAIT_SECONDS,
        },
        # a stage that fails is not retried by this, only a run whose process is gone
        "run_retries": {"enabled": True, "max_retries": _RETRIES, "retry_on_asset_or_op_failure": False},
    }


def write_instance(settings: Settings, home: Path) -> None:
    """Write the project's ``dagster.yaml`` into the instance's folder, with runs as the settings have them."""
    text = _stated().read_text()
    made = instance_config(yaml.safe_load(text), settings)
    same = made == yaml.safe_load(text)
    (home / "dagster.yaml").write_text(text if same else yaml.safe_dump(made, sort_keys=False))


def _stated() -> Path:
    """The project's ``dagster.yaml``: in the package where that was installed, else at the root of the checkout."""
    installed = _PACKAGE / "dagster.yaml"
    return installed if installed.exists() else _PACKAGE.parent / "dagster.yaml"


def awaited(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool | None:
    """Launch a run on the cluster and wait for its end: whether it went well, None where its node was lost.

    Raises:
        SettingError: the instance launches runs elsewhere.
    """
    from dagster._core.launcher import LaunchRunContext, WorkerStatus

    launcher = instance.run_launcher
    if type(launcher).__name__ != _LAUNCHER:
        msg = "DAGSTER_HOME: its dagster.yaml launches runs elsewhere; put in the run_launcher of docs/cluster.md"
        raise SettingError(msg)
    launcher.launch_run(LaunchRunContext(run, workspace=None))
    moment = threading.Event()
    try:
        while True:
            now = instance.get_run_by_id(run.run_id)
            if now is None or now.is_finished:
                return now is not None and now.status == dg.DagsterRunStatus.SUCCESS
            if launcher.check_run_worker_health(now).status == WorkerStatus.FAILED:
                ended = instance.get_run_by_id(run.run_id)
                if ended is None or not ended.is_finished:  # it may have ended well in this very moment
                    instance.report_run_failed(now, "its node was lost")
                    return None
            moment.wait(_LOOK)
    except KeyboardInterrupt:
        launcher.terminate(run.run_id)
        raise
