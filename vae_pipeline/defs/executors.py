"""Where the steps of a run are executed, as ``VAE_PIPELINE_EXECUTOR`` says."""

import json
from typing import Any

import dagster as dg

from vae_pipeline.cluster import cluster_address, training_resources
from vae_pipeline.defs.lost_runs import owned
from vae_pipeline.settings import Settings, load_settings

__all__ = ["LOST", "resources_of", "step_executor"]

LOST = dg.RetryPolicy(max_retries=3, delay=1)
"""For steps whose process may be gone with its node; errors of our own are not retried."""

_RAY_CONFIG = "dagster-ray/config"
_HEAVY = ("features", "calibrated", "evaluated", "explained", "cross_validated")
_TRAINING = ("trained", "tuned")


def step_executor() -> dg.ExecutorDefinition:
    """The executor of all jobs.

    Raises:
        SettingError: Ray is asked for, and is not installed or its address is not set.
    """
    settings = load_settings()
    if settings.executor == "ray":
        cluster_address(settings)
    if _as_jobs(settings):
        from vae_pipeline.defs.ray_steps import ray_steps

        return owned(ray_steps())
    # otherwise one process for one partition, also on Ray: heavy libraries are imported once
    return owned(dg.multiprocess_executor if settings.executor == "multiprocess" else dg.in_process_executor)


def _as_jobs(settings: Settings) -> bool:
    return settings.executor == "ray" and settings.ray_jobs == "step"


def resources_of(stage: str) -> dict[str, Any]:
    """Arguments of an asset that say what its step asks Ray for, and that a lost step begins again.

    Stages that compute become Ray jobs, by their tag; the others are over sooner than such a job begins.
    """
    settings = load_settings()
    if not _as_jobs(settings):
        return {}
    asked = training_resources(settings) if stage in _TRAINING else {"num_cpus": 1}
    tags = {_RAY_CONFIG: json.dumps(asked)}
    return {"retry_policy": LOST, **({"op_tags": tags} if stage in _HEAVY + _TRAINING else {})}
