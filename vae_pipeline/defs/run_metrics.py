"""Metrics of Dagster's records: runs, how fresh the assets are, and whether the daemon lives."""

from collections.abc import Iterator

import dagster as dg
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

__all__ = ["RunMetrics"]

_RECENT = 500
"""Newest runs that are looked at for jobs and durations."""
_STATUSES = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
)


class RunMetrics:
    """Runs by job and status, durations of the last ones, when each asset was last materialized, and the daemons.

    Called at each look; of assets only those are read again that were materialized since the last one.
    """

    def __init__(self, instance: dg.DagsterInstance) -> None:
        """Tell of the records of ``instance``."""
        self._instance = instance
        self._made: dict[dg.AssetKey, tuple[int | None, list[tuple[str, float]]]] = {}

    def __call__(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        yield from _runs(self._instance)
        yield self._freshness()
        yield _heartbeats(self._instance)

    def _freshness(self) -> Metric:
        made = GaugeMetricFamily(
            "vae_pipeline_asset_materialized_timestamp_seconds",
            "When an asset was last materialized, since 1970",
            labels=["line", "stage", "dataset"],
        )
        for record in self._instance.get_asset_records():
            key, newest = record.asset_entry.asset_key, record.asset_entry.last_materialization_storage_id
            if key not in self._made or self._made[key][0] != newest:
                self._made[key] = (newest, self._read(key))
            for dataset, time in self._made[key][1]:
                made.add_metric([key.path[0], "/".join(key.path[1:]), dataset], time)
        return made

    def _read(self, key: dg.AssetKey) -> list[tuple[str, float]]:
        """The partitions of an asset, and when each was last materialized."""
        newest = self._instance.event_log_storage.get_latest_storage_id_by_partition(
            key, dg.DagsterEventType.ASSET_MATERIALIZATION
        )
        if newest:
            wanted = dg.AssetRecordsFilter(asset_key=key, storage_ids=list(newest.values()))
            records = self._instance.fetch_materializations(wanted, limit=len(newest)).records
        else:  # without partitions
            records = self._instance.fetch_materializations(key, limit=1).records
        return [(record.partition_key or "", record.timestamp) for record in records]


def _runs(instance: dg.DagsterInstance) -> Iterator[Metric]:
    runs = GaugeMetricFamily("vae_pipeline_runs", "Runs that are kept", labels=["job", "status"])
    labels = ["job", "dataset", "status"]
    took = GaugeMetricFamily(
        "vae_pipeline_last_run_duration_seconds", "What the last ended run took", labels=labels, unit="seconds"
    )
    ended = GaugeMetricFamily(
        "vae_pipeline_last_run_end_timestamp_seconds", "When the last run ended, since 1970", labels=labels
    )
    records = instance.get_run_records(limit=_RECENT)
    for job in sorted({record.dagster_run.job_name for record in records}):
        for status in _STATUSES:
            count = instance.get_runs_count(dg.RunsFilter(job_name=job, statuses=[status]))
            runs.add_metric([job, status.value.lower()], count)
    known: set[tuple[str, ...]] = set()
    for record in records:  # newest first
        run = record.dagster_run
        values = (run.job_name, run.tags.get("dagster/partition", ""), run.status.value.lower())
        if values in known or record.end_time is None:
            continue
        known.add(values)
        ended.add_metric(values, record.end_time)
        # one that could not be launched has no start
        if record.start_time is not None:
            took.add_metric(values, record.end_time - record.start_time)
    yield from (runs, took, ended)


def _heartbeats(instance: dg.DagsterInstance) -> Metric:
    heard = GaugeMetricFamily(
        "vae_pipeline_daemon_heartbeat_timestamp_seconds",
        "When a part of Dagster's daemon was last alive, since 1970",
        labels=["daemon"],
    )
    for daemon, heartbeat in instance.get_daemon_heartbeats().items():
        heard.add_metric([daemon.lower()], heartbeat.timestamp)
    return heard
