"""Metrics of the champions in the registry."""

import datetime as dt
import math
from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from vae_pipeline.registry.shelf import CHAMPION, Shelf

__all__ = ["champion_metrics"]

_LABELS = ["line", "dataset"]
_TEST = "test_"


def champion_metrics(shelf: Shelf) -> Iterator[Metric]:
    """Version, age and test metrics of every champion, and how many versions there are.

    Raises:
        RegistryError: the registry cannot be read.
    """
    version = GaugeMetricFamily("vae_pipeline_champion_version", "Version that is champion", labels=_LABELS)
    created = GaugeMetricFamily(
        "vae_pipeline_champion_created_timestamp_seconds",
        "When the champion was registered, since 1970",
        labels=_LABELS,
    )
    tested = GaugeMetricFamily(
        "vae_pipeline_champion_test_metric", "Metrics of the champion on its test part", labels=[*_LABELS, "metric"]
    )
    versions = GaugeMetricFamily("vae_pipeline_model_versions", "Registered versions of a model", labels=_LABELS)
    counted: dict[tuple[str, str], int] = {}
    for entry in shelf.entries():
        labels = (entry.line, entry.dataset)
        counted[labels] = counted.get(labels, 0) + 1
        if CHAMPION not in entry.aliases:
            continue
        version.add_metric(labels, entry.version)
        created.add_metric(labels, dt.datetime.fromisoformat(entry.created).timestamp())
        for name, value in sorted(entry.metrics.items()):
            if name.startswith(_TEST) and math.isfinite(value):
                tested.add_metric([*labels, name.removeprefix(_TEST)], value)
    for labels, count in counted.items():
        versions.add_metric(labels, count)
    yield from (version, created, tested, versions)
