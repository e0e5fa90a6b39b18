"""The sensor that watches the registry: another champion, another Bento."""

import json

import dagster as dg

from vae_pipeline.defs.resources import MlflowResource, StorageResource
from vae_pipeline.defs.under_way import ended, run_under_way
from vae_pipeline.errors import VaePipelineError
from vae_pipeline.records import Line
from vae_pipeline.storage import Storage, fingerprint

__all__ = ["champion_changed_sensor"]


def champion_changed_sensor(line: Line) -> dg.SensorDefinition:
    """Requests the Bento of a line when its champions are others than those of the latest deployment.

    Also after an alias was moved by hand: rolling back is a change like any other, and a request of its own. The
    cursor holds the champions that were asked for and the number of the request, so that a second look asks for the
    same run. What failed to pack is asked for again, as `ended` says.
    """

    @dg.sensor(
        name=f"{line}_champion_changed",
        job_name=f"{line}_bento",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=f"Packs the champions of {line} when the registry names others.",
    )
    def champion_changed(
        context: dg.SensorEvaluationContext, storage: StorageResource, mlflow: MlflowResource
    ) -> dg.SensorResult | dg.SkipReason:
        try:
            now = {entry.name: entry.version for entry in mlflow.shelf.champions(line)}
        except VaePipelineError as error:
            return dg.SkipReason(f"the registry cannot be asked: {error}")
        if not now:
            return dg.SkipReason(f"{line} has no champion yet: run the line first")
        try:
            packed = _packed(storage.open(), line)
        except VaePipelineError as error:
            return dg.SkipReason(f"the latest deployment cannot be read: {error}")
        return _decided(context, line, now, packed)

    return champion_changed


def _decided(
    context: dg.SensorEvaluationContext, line: Line, now: dict[str, int], packed: dict[str, int]
) -> dg.SensorResult | dg.SkipReason:
    """Whether a run is asked for; champions and models of the latest deployment by name."""
    names = ", ".join(f"{name} version {version}" for name, version in sorted(now.items()))
    if now == packed:
        return dg.SkipReason(f"the champions are those that were packed: {names}")
    if run := run_under_way(context.instance, f"{line}_bento"):
        return dg.SkipReason(f"run {run.run_id[:8]} is packing; {names} after it")
    seen = json.loads(context.cursor) if context.cursor else {"champions": {}, "requests": 0}
    work, same = fingerprint(line, now), now == seen["champions"]
    # the same champions may be asked for again after others were: the number goes on
    requests, tries = int(seen["requests"]) + (not same), int(seen.get("tries", 1)) if same else 1
    last = ended(context.instance, f"{work}-{requests}", tries) if same else None
    if last and last.waits:
        return dg.SkipReason(f"{names} not packed by run {last.run}; see why; again at {last.again:%H:%M} UTC")
    requests, tries = requests + (last is not None), tries + (last is not None)
    cursor = json.dumps({"champions": now, "requests": requests, "tries": tries}, sort_keys=True)
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=f"{work}-{requests}")], cursor=cursor)


def _packed(storage: Storage, line: Line) -> dict[str, int]:
    """The models of the latest deployment; none where there is no record that this version can read."""
    from vae_pipeline.packing.deployment import Deployment, deployment_key

    key = deployment_key(line)
    if not storage.has_text(key):
        return {}
    try:
        return {model.name: model.version for model in Deployment.model_validate_json(storage.read_text(key)).models}
    except ValueError:
        return {}
