"""The sensor that watches incoming: complete batches ask for the line's intake."""

import json
from typing import Any, NamedTuple

import dagster as dg

from vae_pipeline.defs.resources import StorageResource
from vae_pipeline.defs.under_way import ended, run_under_way
from vae_pipeline.errors import VaePipelineError
from vae_pipeline.intake.arrive import Arrival, arrivals
from vae_pipeline.records import Line
from vae_pipeline.storage import fingerprint, open_incoming

__all__ = ["new_data_sensor"]


class _Decision(NamedTuple):
    request: dg.RunRequest | None
    asked: dict[str, Any] | None
    told: str


def new_data_sensor(line: Line, datasets: set[str]) -> dg.SensorDefinition:
    """Asks for a run of ``<line>_intake`` for each dataset that has complete batches in incoming.

    The cursor holds what was seen, by name with a hash of sizes and times, and which run was asked for. A run is named
    after the batches it is asked for, so that a second tick over the same ones, or one that a killed daemon repeats,
    asks for the same run. While a run of the dataset's intake goes on none is asked for. Batches that are still there
    after it are tried again, as `ended` says; a change of one counts anew.

    Args:
        line: whose incoming folder is watched.
        datasets: of the line; what lies below another name is told and left.
    """

    @dg.sensor(
        name=f"{line}_new_data",
        job_name=f"{line}_intake",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=f"Receives what arrives in incoming/{line}/<dataset>/ once it is complete.",
    )
    def new_data(context: dg.SensorEvaluationContext, storage: StorageResource) -> dg.SensorResult | dg.SkipReason:
        try:
            there = arrivals(open_incoming(storage.settings), line)
        except VaePipelineError as error:
            return dg.SkipReason(f"incoming cannot be read: {error}")
        seen = json.loads(context.cursor) if context.cursor else {"looks": {}, "asked": {}}
        known = [each for each in there if each.dataset in datasets]
        told = [_stray(each) for each in there if each.dataset not in datasets]
        requests, asked = [], {}
        for dataset in sorted({each.dataset for each in known}):
            mine = [each for each in known if each.dataset == dataset]
            complete = [each for each in mine if each.complete(seen["looks"])]
            told += [_unfinished(each, seen["looks"]) for each in mine if each not in complete]
            if not complete:
                continue
            decision = _decide(context.instance, line, dataset, complete, seen["asked"].get(dataset))
            told.append(decision.told)
            asked[dataset] = decision.asked
            if decision.request is not None:
                requests.append(decision.request)
        cursor = json.dumps({"looks": {each.key: each.look for each in known}, "asked": asked}, sort_keys=True)
        why = "; ".join(told) if told else f"nothing lies in incoming/{line}"
        context.log.info(why)
        return dg.SensorResult(
            run_requests=requests, skip_reason=None if requests else dg.SkipReason(why), cursor=cursor
        )

    return new_data


def _decide(
    instance: dg.DagsterInstance, line: Line, dataset: str, complete: list[Arrival], before: dict[str, Any] | None
) -> _Decision:
    """Whether a run is asked for, given the one that was asked for before."""
    looks = {each.name: each.look for each in complete}
    of, names = fingerprint(line, dataset, looks), ", ".join(looks)
    same = before is not None and before["of"] == of
    if run := run_under_way(instance, f"{line}_intake", dataset):
        told = f"run {run.run_id[:8]} is receiving" + (f" {names}" if same else f"; {names} complete, taken after it")
        return _Decision(None, before, f"{dataset}: {told}")
    attempt = int(before["attempt"]) if same and before else 1
    last = ended(instance, f"{of}-{attempt}", attempt) if same else None
    if last and last.waits:
        told = f"{names} still there after {attempt} runs; see why in {last.run}"
        return _Decision(None, before, f"{dataset}: {told}; tried again at {last.again:%H:%M} UTC, or when one changes")
    attempt += last is not None
    request = dg.RunRequest(
        run_key=f"{of}-{attempt}",
        partition_key=dataset,
        run_config={"ops": {f"{line}__received": {"config": {"looks": looks}}}},
    )
    again = f" (try {attempt})" if attempt > 1 else ""
    return _Decision(request, {"of": of, "attempt": attempt}, f"{dataset}: {names} complete, to be received{again}")


def _unfinished(each: Arrival, looks: dict[str, str]) -> str:
    if each.growing:
        return f"{each.key}: files of it are still being written (.part, .tmp)"
    seen = "has changed since the last look" if each.key in looks else "seen for the first time"
    return f"{each.key}: {seen}, taken when it stays the same for one more look, or {each.name}.done lies beside it"


def _stray(each: Arrival) -> str:
    return f"{each.key}: the catalogue has no dataset {each.dataset!r}; correct the folder's name"
