"""The sensor that watches the registry: another champion, another Bento."""

import json

import dagster as dg

from vae_pipeline.defs.resources import MlflowResource
from vae_pipeline.errors import VaePipelineError
from vae_pipeline.records import Line
from vae_pipeline.storage import fingerprint

__all__ = ["champion_changed_sensor"]


def champion_changed_sensor(line: Line) -> dg.SensorDefinition:
    """Requests the Bento of a line when its champions are others than at the last request.

    Also after an alias was moved by hand: rolling back is a change like any other. The cursor holds the champions and
    how many requests there were, so that going back to earlier champions is a request of its own, and a second look
    at the same ones is none.
    """

    @dg.sensor(
        name=f"{line}_champion_changed",
        job_name=f"{line}_bento",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=f"Packs the champions of {line} when the registry names others.",
    )
    def champion_changed(
        context: dg.SensorEvaluationContext, mlflow: MlflowResource
    ) -> dg.SensorResult | dg.SkipReason:
        try:
            entries = mlflow.shelf.champions(line)
        except VaePipelineError as error:
            return dg.SkipReason(f"the registry cannot be asked: {error}")
        now = {entry.name: entry.version for entry in entries}
        seen = json.loads(context.cursor) if context.cursor else {"champions": {}, "requests": 0}
        if not now:
            return dg.SkipReason(f"{line} has no champion yet: run the line first")
        if now == seen["champions"]:
            names = ", ".join(f"{name} version {version}" for name, version in sorted(now.items()))
            return dg.SkipReason(f"the champions are those that were packed: {names}")
        requests = int(seen["requests"]) + 1
        request = dg.RunRequest(run_key=f"{fingerprint(line, now)}-{requests}")
        cursor = json.dumps({"champions": now, "requests": requests}, sort_keys=True)
        return dg.SensorResult(run_requests=[request], cursor=cursor)

    return champion_changed
