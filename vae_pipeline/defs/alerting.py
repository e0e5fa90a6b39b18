"""Sensors that tell people: what happened becomes alerts, and alerts are delivered.

Assets know nothing of alerts. The sensors read the event log and the prediction log with cursors; what a killed daemon
had not told is told by the next one, and what it had told is known by its origin.
"""

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any, get_args

import dagster as dg

from vae_pipeline.alerts.alert import Alert
from vae_pipeline.alerts.events import JUDGED, WATCHED, Event, Failure, alert_of, alert_of_failure
from vae_pipeline.alerts.outbox import open_outbox, tell
from vae_pipeline.defs.resources import StorageResource
from vae_pipeline.errors import VaePipelineError
from vae_pipeline.records import Line
from vae_pipeline.settings import Settings, load_settings

__all__ = ["alerting_sensors", "tell_people"]

_AT_ONCE = 100  # events of an asset in one tick
_LOOK_BACK = 200  # ids that are read again: a database may show an event after one with a higher id
_STOPPED = dg.DefaultSensorStatus.STOPPED


def tell_people(context: Any, alert: Alert) -> None:
    """Keep an alert for delivery, and log it; for assets, ops, sensors and schedules alike; never raises."""
    kept = tell(load_settings(), alert)
    context.log.info(f"{'alert' if kept else 'alert that could not be kept'}: {alert.subject}: {alert.text}")


def alerting_sensors() -> list[dg.SensorDefinition]:
    """What turns events into alerts, and what delivers them."""
    return [_alert_events(), _anomalies(), _run_failure(), _alerts()]


def _alert_events() -> dg.SensorDefinition:
    @dg.sensor(
        name="alert_events",
        minimum_interval_seconds=30,
        default_status=_STOPPED,
        description="Makes alerts of promotions, failed validations, drift and refused data.",
    )
    def alert_events(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        settings, cursor = load_settings(), json.loads(context.cursor or "{}")
        alerts: list[Alert] = []
        count = 0
        failed = _FailedChecks(context.instance)
        for key in _watched():
            name = key.to_user_string()
            if name not in cursor:
                newest = context.instance.fetch_materializations(key, limit=1).records
                cursor[name] = [newest[0].storage_id if newest else 0] * 2
                continue
            begun, seen = cursor[name]
            wanted = dg.AssetRecordsFilter(asset_key=key, after_storage_id=max(begun, seen - _LOOK_BACK))
            for record in context.instance.fetch_materializations(wanted, limit=_AT_ONCE, ascending=True).records:
                alert = alert_of(_event(failed, settings, key, record))
                alerts += [alert] if alert else []
                count += record.storage_id > seen
                cursor[name] = [begun, max(cursor[name][1], record.storage_id)]
        try:
            alerts.sort(key=lambda alert: alert.time)
            taken = open_outbox(settings).add(alerts) if alerts else []
        except VaePipelineError as error:
            return dg.SkipReason(f"alerts cannot be kept, the events are read again: {error}")
        first = "begins with what happens from now on" if not context.cursor else f"{count} new events"
        told = "; ".join(f"{alert.subject}: {alert.text}" for alert in taken) or "nothing to tell"
        return dg.SensorResult(skip_reason=f"{first}: {told}", cursor=json.dumps(cursor, sort_keys=True))

    return alert_events


def _anomalies() -> dg.SensorDefinition:
    @dg.sensor(
        name="anomalies",
        minimum_interval_seconds=60,
        default_status=_STOPPED,
        description="Makes alerts of alarms in the prediction log.",
    )
    def anomalies(storage: StorageResource) -> dg.SkipReason:
        from vae_pipeline.alerts.anomalies import look_for_anomalies

        settings = storage.settings
        outbox, parts = open_outbox(settings), []
        for line in get_args(Line):
            try:
                found = look_for_anomalies(storage.open(), outbox, line, settings.alert_anomalies)
            except VaePipelineError as error:
                parts.append(f"{line}: {error}")
                continue
            parts += [f"{alert.subject}: {alert.text}" for alert in found.alerts]
            parts += [f"damaged, left out: {file}" for file in found.unreadable]
            if found.files and not found.alerts:
                parts.append(
                    f"{line}: {found.rows:,} new predictions, {found.alarms:,} of them alarms, nothing to tell"
                )
        return dg.SkipReason("; ".join(parts) or "no new predictions")

    return anomalies


def _run_failure() -> dg.SensorDefinition:
    @dg.run_failure_sensor(name="run_failure", default_status=_STOPPED, description="Makes alerts of failed runs.")
    def run_failure(context: dg.RunFailureSensorContext) -> dg.SkipReason:
        settings, run = load_settings(), context.dagster_run
        step, error = _failed_step(context)
        if "DagsterAssetCheckFailedError" in error:
            return dg.SkipReason("a blocking check failed: alert_events tells of it")
        alert = alert_of_failure(
            Failure(
                job=run.job_name,
                dataset=run.tags.get("dagster/partition", ""),
                step=step,
                error=error,
                run=run.run_id,
                time=dt.datetime.now(dt.UTC),
                link=_run_link(settings, run.run_id),
            )
        )
        open_outbox(settings).add([alert])  # where it cannot be kept the tick fails, and Dagster asks again
        return dg.SkipReason(alert.text)

    return run_failure


def _alerts() -> dg.SensorDefinition:
    @dg.sensor(
        name="alerts",
        minimum_interval_seconds=30,
        default_status=_STOPPED,
        description="Delivers the alerts that wait.",
    )
    def alerts() -> dg.SkipReason:
        from vae_pipeline.alerts.deliver import deliver

        try:
            return dg.SkipReason(deliver(load_settings()).told())
        except VaePipelineError as error:
            return dg.SkipReason(f"nothing is delivered: {error}")

    return alerts


def _watched() -> Iterator[dg.AssetKey]:
    for line in get_args(Line):
        yield from (dg.AssetKey([line, stage]) for stage in WATCHED)


def _event(failed: "_FailedChecks", settings: Settings, key: dg.AssetKey, record: dg.EventLogRecord) -> Event:
    materialization = record.asset_materialization
    metadata = materialization.metadata if materialization else {}
    return Event(
        line=key.path[0],
        stage=key.path[-1],
        dataset=record.partition_key or "",
        facts={name: value.value for name, value in metadata.items()},
        failed=failed.of(key, record.run_id) if key.path[-1] in JUDGED else (),
        time=dt.datetime.fromtimestamp(record.timestamp, dt.UTC),
        origin=f"event/{record.run_id}/{key.to_user_string()}/{record.partition_key or ''}/{record.timestamp}",
        link=_run_link(settings, record.run_id),
    )


class _FailedChecks:
    """Checks of severity ERROR that runs found failed; the log of a run is read once."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._runs: dict[str, list[tuple[dg.AssetKey, str]]] = {}

    def of(self, key: dg.AssetKey, run: str) -> tuple[str, ...]:
        """Their names, of one asset."""
        if run not in self._runs:
            logged = self._instance.all_logs(run, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
            found = [entry.dagster_event.asset_check_evaluation_data for entry in logged if entry.dagster_event]
            self._runs[run] = [
                (check.asset_key, check.check_name)
                for check in found
                if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR
            ]
        return tuple(name for asset, name in self._runs[run] if asset == key)


def _failed_step(context: dg.RunFailureSensorContext) -> tuple[str, str]:
    """The step that failed first and what it said, in a sentence where the error has one."""
    for event in context.get_step_failure_events():
        data: Any = event.event_specific_data
        said = data.user_failure_data.description if data.user_failure_data else None
        if said:
            return event.step_key or "", said
        error = data.error
        while error and error.cause:
            error = error.cause
        return event.step_key or "", (error.message if error else event.message) or ""
    return "", context.failure_event.message or ""


def _run_link(settings: Settings, run_id: str) -> str | None:
    return f"{settings.ui_address.rstrip('/')}/runs/{run_id}" if settings.ui_address else None
