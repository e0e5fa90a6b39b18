"""Metrics of the newest drift report of every dataset; knows some names of ``drift.json`` and passes over the rest."""

import datetime as dt
import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from vae_pipeline.drift.daily import ROOT, judged
from vae_pipeline.drift.report import RECORD
from vae_pipeline.storage import Storage

__all__ = ["drift_metrics"]

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_LABELS = ["line", "dataset"]
_LISTED = 5
"""Newest folders of a dataset in which a report is looked for."""


def drift_metrics(storage: Storage) -> Iterator[Metric]:
    """Verdict, day, size, p-values and statistics of the newest report of each dataset.

    Raises:
        StorageError: the storage cannot be read.
    """
    detected = GaugeMetricFamily("vae_pipeline_drift_detected", "Whether the newest report says drift", labels=_LABELS)
    day = GaugeMetricFamily(
        "vae_pipeline_drift_day_timestamp_seconds", "Begin of the day that is judged, since 1970", labels=_LABELS
    )
    rows = GaugeMetricFamily("vae_pipeline_drift_predictions", "Predictions of that day", labels=_LABELS)
    share = GaugeMetricFamily("vae_pipeline_drift_alarm_ratio", "Share of alarms on that day", labels=_LABELS)
    p_value = GaugeMetricFamily(
        "vae_pipeline_drift_p_value", "Adjusted p-value of a family of statistics", labels=[*_LABELS, "family"]
    )
    statistic = GaugeMetricFamily(
        "vae_pipeline_drift_statistic", "Value of a statistic", labels=[*_LABELS, "family", "statistic"]
    )
    for line in storage.names(ROOT):
        for dataset in storage.names(f"{ROOT}/{line}"):
            found = _newest(storage, line, dataset)
            if found is None:
                continue
            name, report = found
            labels = [line, dataset]
            _add(detected, labels, report.get("drifted", _drifted(report.get("verdict"))))
            _add(day, labels, dt.datetime.combine(dt.date.fromisoformat(name), dt.time(), dt.UTC).timestamp())
            _add(rows, labels, report.get("rows", report.get("samples")))
            _add(share, labels, report.get("alarm_share"))
            for each in _records(report.get("families")):
                _add(p_value, [*labels, each.get("name")], each.get("adjusted", each.get("p_value")))
            for each in _records(report.get("statistics")):
                _add(statistic, [*labels, each.get("family", ""), each.get("name")], each.get("value"))
    yield from (detected, day, rows, share, p_value, statistic)


def _newest(storage: Storage, line: str, dataset: str) -> tuple[str, dict[str, Any]] | None:
    """Day and content of the newest report that can be read."""
    days = [name for name in judged(storage, line, dataset) if _DAY.match(name)]
    for name in days[:_LISTED]:
        key = f"{ROOT}/{line}/{dataset}/{name}/{RECORD}"
        if not storage.has_text(key):
            continue
        try:
            found = json.loads(storage.read_text(key))
            dt.date.fromisoformat(name[:10])
        except ValueError:
            continue
        if isinstance(found, dict):
            return name[:10], found
    return None


def _drifted(verdict: object) -> bool | None:
    return None if verdict is None else verdict == "drift"


def _records(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _add(family: GaugeMetricFamily, labels: Sequence[Any], value: object) -> None:
    """A sample where there is a number and all its labels."""
    if isinstance(value, bool | int | float) and math.isfinite(value) and None not in labels:
        family.add_metric([str(label) for label in labels], float(value))
