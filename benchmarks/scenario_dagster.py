"""Dagster's web server as a person would use it: jobs launched, sensors switched on, runs waited for."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

__all__ = ["Dagster", "wait_for"]

_LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}"""
_START = """
mutation Start($selector: SensorSelector!) {
  startSensor(sensorSelector: $selector) { __typename ... on PythonError { message } }
}"""
_RUNS = """
query Runs($filter: RunsFilter!) {
  runsOrError(filter: $filter, limit: 50) {
    ... on Runs { results { runId jobName status startTime endTime tags { key value } } }
  }
}"""
_LOCATION = "vae_pipeline.definitions"
_REPOSITORY = "__repository__"
_DONE = {"SUCCESS", "FAILURE", "CANCELED"}


class Dagster:
    """A web server with its daemon."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"

    def ready(self) -> bool:
        """Whether it answers and has loaded the definitions."""
        try:
            return httpx.get(f"{self.address}/server_info", timeout=2).is_success and self.runs() is not None
        except httpx.HTTPError:
            return False

    def switch_on(self, sensor: str) -> None:
        """Start a sensor."""
        selector = {"sensorName": sensor, "repositoryName": _REPOSITORY, "repositoryLocationName": _LOCATION}
        found = self._ask(_START, {"selector": selector})["startSensor"]
        if found["__typename"] != "Sensor":
            raise RuntimeError(found)

    def launch(self, job: str, partition: str, config: Mapping[str, Any]) -> str:
        """Launch a job of one partition; gives the run's id."""
        params = {
            "selector": {"pipelineName": job, "repositoryName": _REPOSITORY, "repositoryLocationName": _LOCATION},
            "runConfigData": dict(config),
            "mode": "default",
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": partition}]},
        }
        found = self._ask(_LAUNCH, {"params": params})["launchPipelineExecution"]
        if found["__typename"] != "LaunchRunSuccess":
            raise RuntimeError(found)
        return found["run"]["runId"]

    def runs(self, **wanted: Any) -> list[dict[str, Any]]:
        """Runs, the newest first; ``pipelineName`` and ``runIds`` restrict them."""
        return self._ask(_RUNS, {"filter": wanted})["runsOrError"]["results"]

    def finished(self, run: str) -> str | None:
        """The status of a run that has ended."""
        found = self.runs(runIds=[run])
        return found[0]["status"] if found and found[0]["status"] in _DONE else None

    def _ask(self, query: str, variables: Mapping[str, Any]) -> Any:
        answer = httpx.post(
            f"{self.address}/graphql", json={"query": query, "variables": dict(variables)}, timeout=60
        ).json()
        if answer.get("errors"):
            raise RuntimeError(answer["errors"])
        return answer["data"]


def wait_for(what: str, true: Callable[[], Any], seconds: float = 300.0, every: float = 1.0) -> Any:
    """What ``true`` gives as soon as it is something.

    Raises:
        TimeoutError: it was not within ``seconds``.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := true():
            return found
        time.sleep(every)
    msg = f"{what}: not within {seconds:.0f} s"
    raise TimeoutError(msg)
