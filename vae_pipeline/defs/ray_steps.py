"""Steps on a Ray cluster: those that compute as Ray jobs, the others beside the run's own process."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.definitions.executor_definition import multiple_process_executor_requirements
from dagster._core.execution.retries import RetryMode, get_retries_config
from dagster._core.executor.base import Executor
from dagster._core.executor.init import InitExecutorContext
from dagster._core.executor.step_delegating import CheckStepHealthResult, StepDelegatingExecutor, StepHandlerContext
from dagster_ray.configs import USER_DEFINED_RAY_KEY
from dagster_ray.core.executor import RayStepHandler

from vae_pipeline.cluster import cluster_address, passed_variables, require_cluster
from vae_pipeline.errors import SettingError
from vae_pipeline.settings import load_settings

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

__all__ = ["merged", "ray_steps"]

_LOOK = 5
"""Seconds between looks at whether steps still live."""


def ray_steps() -> dg.ExecutorDefinition:
    """dagster-ray's executor, for which a step without the tag ``dagster-ray/config`` is not worth a Ray job.

    A run's own tag ``dagster-ray/config`` goes before those of its steps.

    Raises:
        SettingError: Ray is not installed, or its address is not set.
    """
    cluster_address(load_settings())

    @dg.executor(
        name="ray",
        config_schema={"retries": get_retries_config()},
        requirements=multiple_process_executor_requirements(),
    )
    def ray(context: InitExecutorContext) -> Executor:
        """Steps that compute as jobs of the Ray cluster of VAE_PIPELINE_RAY_ADDRESS."""
        from ray.job_submission import JobSubmissionClient

        settings = load_settings()
        address = require_cluster(settings)
        try:
            client = JobSubmissionClient(address)
        except (ConnectionError, RuntimeError) as error:
            msg = f"VAE_PIPELINE_RAY_ADDRESS: Ray refuses at {address} ({str(error).splitlines()[0]}); set another"
            raise SettingError(msg) from error
        return StepDelegatingExecutor(
            _Steps(client, passed_variables(settings)),
            retries=RetryMode.from_config(context.executor_config["retries"]),  # type: ignore[arg-type]
            check_step_health_interval_seconds=_LOOK,
            should_verify_step=True,
        )

    return ray


class _Context(StepHandlerContext):
    """The context of a step, whose tags are those of the run before its own."""

    @property
    def step_tags(self) -> Mapping[str, Mapping[str, str]]:
        return {key: merged(tags, self.dagster_run.tags) for key, tags in super().step_tags.items()}


def merged(of_step: Mapping[str, str], of_run: Mapping[str, str]) -> dict[str, str]:
    """The tags of a step, with what the run asks Ray for in place of what the step does."""
    asked = [json.loads(tags.get(USER_DEFINED_RAY_KEY, "{}")) for tags in (of_step, of_run)]
    return {**of_step, USER_DEFINED_RAY_KEY: json.dumps({**asked[0], **asked[1]})}


class _Steps(RayStepHandler):
    """Begins steps, looks after them and ends them."""

    def __init__(self, client: "JobSubmissionClient", variables: list[str]) -> None:
        super().__init__(client, variables, None, None, None, None, None)
        self._here: dict[str, subprocess.Popen[bytes]] = {}

    def _process_key(self, context: StepHandlerContext) -> str:
        return self._get_ray_job_submission_id(context)

    def launch_step(self, step_handler_context: StepHandlerContext) -> Iterator[dg.DagsterEvent]:
        """Submit a Ray job, or start a process."""
        context = step_handler_context
        arguments, key = context.execute_step_args, self._get_step_key(context)
        if USER_DEFINED_RAY_KEY in context.step_tags[key]:
            yield from super().launch_step(
                _Context(
                    context.instance,
                    context._plan_context,
                    list(context._steps_by_key.values()),
                    arguments,
                    context.dagster_run,
                )
            )
            return
        told = {item["name"]: item["value"] for item in arguments.get_command_env()}
        for ended in self._here.values():
            ended.poll()
        # what it has to tell is in the event log
        self._here[self._process_key(context)] = subprocess.Popen(
            arguments.get_command_args(skip_serialized_namedtuple=True),
            env={**os.environ, **told},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        yield dg.DagsterEvent.step_worker_starting(
            context.get_step_context(key), message=f'Executing step "{key}" beside the run.', metadata={}
        )

    def check_step_health(self, step_handler_context: StepHandlerContext) -> CheckStepHealthResult:
        """Whether the step's job or process is at work, or ended well."""
        process = self._here.get(self._process_key(step_handler_context))
        if process is None:
            return super().check_step_health(step_handler_context)
        if process.poll():
            return CheckStepHealthResult.unhealthy(reason=f"the step's process ended with {process.returncode}")
        return CheckStepHealthResult.healthy()

    def terminate_step(self, step_handler_context: StepHandlerContext) -> Iterator[dg.DagsterEvent]:
        """Stop the step's job or process."""
        process = self._here.get(self._process_key(step_handler_context))
        if process is None:
            yield from super().terminate_step(step_handler_context)
        else:
            process.terminate()
