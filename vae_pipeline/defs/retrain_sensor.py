"""The sensor that starts retraining: drift and new data, weighed by the policy."""

import datetime as dt
from typing import NamedTuple

import dagster as dg

from vae_pipeline.alerts.alert import Alert
from vae_pipeline.catalog import catalog
from vae_pipeline.defs.alerting import tell_people
from vae_pipeline.defs.artifact_io import newest
from vae_pipeline.defs.resources import MlflowResource, StorageResource
from vae_pipeline.errors import VaePipelineError
from vae_pipeline.records import Dataset, Line
from vae_pipeline.registry.shelf import ShelfEntry
from vae_pipeline.retraining.policy import Decision, Evidence, decide
from vae_pipeline.retraining.settings import RetrainingSettings, load_policy
from vae_pipeline.storage import Storage, fingerprint

__all__ = ["RETRAINING", "retrain_sensor"]

RETRAINING = "vae_pipeline/retraining"
"""The tag of runs that the sensor asked for; its value is the reason."""
_RUN_KEY = "dagster/run_key"
_WEEK = dt.timedelta(days=8)


class _Weighed(NamedTuple):
    decision: Decision
    evidence: Evidence
    key: str


class _Learnt(NamedTuple):
    """The newest version of the dataset that a model was fitted on, and the rows of its training part."""

    version: int
    rows: int


def retrain_sensor(line: Line) -> dg.SensorDefinition:
    """Asks for a run of the line where the policy says so, alerts where it says that, and always says why.

    A run is named after its evidence: champion, version of the dataset, day of the report. A second tick over the same
    evidence, or one that a killed daemon repeats, asks for the same run, and a run that failed is not asked for again
    before there is other evidence.
    """

    @dg.sensor(
        name=f"{line}_retrain",
        job_name=line,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=f"Retrains the champions of {line} that drift, or that much new data came for.",
    )
    def retrain(
        context: dg.SensorEvaluationContext, storage: StorageResource, mlflow: MlflowResource
    ) -> dg.SensorResult | dg.SkipReason:
        try:
            policy, settings, store = load_policy(), storage.settings, storage.open()
            datasets = catalog(settings.catalog_files)
            requests, told = [], []
            for entry in mlflow.shelf.champions(line):
                dataset = datasets.get(entry.dataset)
                if dataset is None or dataset.line != line:
                    told.append(f"{entry.dataset}: is no longer in the catalogue")
                    continue
                weighed = _weighed(context.instance, store, dataset, entry, policy)
                told.append(f"{entry.dataset}: {weighed.decision.action}: {weighed.decision.reason}")
                if weighed.decision.action == "retrain":
                    requests.append(_request(line, entry, weighed, policy))
                elif weighed.decision.action == "alert":
                    tell_people(context, _alert(line, entry, weighed))
        except VaePipelineError as error:
            return dg.SkipReason(f"nothing is decided: {error}")
        why = "; ".join(told) or f"{line} has no champion yet: run the line first"
        context.log.info(why)
        return dg.SensorResult(run_requests=requests, skip_reason=None if requests else dg.SkipReason(why))

    return retrain


def _weighed(
    instance: dg.DagsterInstance, storage: Storage, dataset: Dataset, entry: ShelfEntry, policy: RetrainingSettings
) -> _Weighed:
    from vae_pipeline.retraining.evidence import evidence

    now = dt.datetime.now(dt.UTC)
    # begun by this sensor, by the calendar or by hand: all train on the newest data, and cost the same
    runs = instance.get_run_records(
        dg.RunsFilter(job_name=dataset.line, tags={"dagster/partition": dataset.name}, created_after=now - _WEEK)
    )
    learnt = _learnt(storage, dataset, entry)
    found = evidence(
        storage,
        dataset,
        version=entry.version,
        since=dt.datetime.fromisoformat(entry.created).date(),
        dataset_version=learnt.version,
        known=learnt.rows,
        begun=[record.create_timestamp for record in runs],
        running=any(not record.dagster_run.is_finished for record in runs),
    )
    key = fingerprint(entry.name, entry.version, found.version, found.day if found.drifted else None)
    decision = decide(found, policy, now)
    same = next(iter(instance.get_runs(dg.RunsFilter(tags={_RUN_KEY: key}), limit=1)), None)
    if decision.action == "retrain" and same is not None:
        reason = f"run {same.run_id[:8]} retrained on this evidence ({same.status.value.lower()})"
        decision = Decision(action="wait", reason=reason)
    return _Weighed(decision, found, key)


def _learnt(storage: Storage, dataset: Dataset, champion: ShelfEntry) -> _Learnt:
    """What was learnt from last, by the newest registered version or by the champion where nothing is kept of that."""
    registered, raw = newest(storage, dataset, "registered"), newest(storage, dataset, "raw")
    facts = registered.facts if registered else {}
    rows = facts.get("train_rows", raw.facts.get("train_rows", 0) if raw else 0)
    version = max(int(champion.dataset_version), int(str(facts.get("dataset_version", 1))))
    return _Learnt(version, int(str(rows)))


def _request(line: Line, entry: ShelfEntry, weighed: _Weighed, policy: RetrainingSettings) -> dg.RunRequest:
    warm = {"ops": {f"{line}__trained": {"config": {"warm_start": True}}}} if policy.warm_start else {}
    return dg.RunRequest(
        run_key=weighed.key,
        partition_key=entry.dataset,
        run_config=warm,
        tags={RETRAINING: weighed.decision.reason},
    )


def _alert(line: Line, entry: ShelfEntry, weighed: _Weighed) -> Alert:
    subject = f"{line}/{entry.dataset}"
    return Alert(
        kind="retraining",
        severity="warning",
        subject=subject,
        text=f"{subject} is not retrained: {weighed.decision.reason}.",
        time=dt.datetime.now(dt.UTC),
        key=f"retraining/{subject}/{weighed.key}",
        origin=f"policy/{weighed.key}/{fingerprint(weighed.decision.reason)}",
    )
