"""Metrics of alerts: how many there were, and how the channels take them."""

from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from vae_pipeline.alerts.outbox import Outbox

__all__ = ["alert_metrics"]


def alert_metrics(outbox: Outbox) -> Iterator[Metric]:
    """Alerts by kind and severity, and messages by channel.

    Raises:
        StorageError: the outbox cannot be read.
    """
    alerts = CounterMetricFamily(
        "vae_pipeline_alerts", "Alerts that were to be told, ever", labels=["kind", "severity"]
    )
    for (kind, severity), count in outbox.counts().items():
        alerts.add_metric([kind, severity], count)
    waiting = GaugeMetricFamily("vae_pipeline_alerts_waiting", "Alerts a channel was not told yet", labels=["channel"])
    delivered = CounterMetricFamily(
        "vae_pipeline_alert_messages", "Messages that a channel took, ever", labels=["channel"]
    )
    failed = CounterMetricFamily(
        "vae_pipeline_alert_failures", "Attempts that a channel did not take, ever", labels=["channel"]
    )
    for channel in outbox.channels().values():
        labels = [f"{channel.label} {channel.id[:4]}"]
        waiting.add_metric(labels, channel.waiting)
        delivered.add_metric(labels, channel.delivered)
        failed.add_metric(labels, channel.failed)
    yield from (alerts, waiting, delivered, failed)
