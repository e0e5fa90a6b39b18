"""What is known of a window features folder once its rows are written: counts, and statistics of some windows."""

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vae_pipeline.errors import DataError
from vae_pipeline.features.arrow import text_to_arrow, to_arrow
from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline.features.signal import statistic_names, window_statistics
from vae_pipeline.features.windows import Windows
from vae_pipeline.records import Dataset, Part

__all__ = ["window_facts"]

_PARTS: tuple[Part, ...] = ("fit", "calibrate", "test")
_STATISTICS_PER_PART = 4000
_STATISTICS_CHUNK = 500


def window_facts(dataset: Dataset, features: FeatureSet, longest: tuple[str, int]) -> dict[str, Any]:
    """Counts of rows and windows, and ``statistics.parquet`` beside them.

    Args:
        dataset: names the settings in messages.
        features: the folder, opened.
        longest: name and rows of the longest training unit, for messages.

    Raises:
        DataError: a part that is needed has no window; the message names the setting to change.
    """
    _require_windows(dataset, features, longest)
    _write_statistics(features)
    facts: dict[str, Any] = {
        "rows": len(features.rows),
        "healthy_fit_windows": len(features.windows("fit", healthy_only=True)),
        "anomalous_windows": 0,
    }
    for part in _PARTS:
        windows = features.windows(part)
        anomalous = int((features.labels(windows) == 1).sum())
        facts[f"{part}_units"] = sum(segment.part == part for segment in features.segments)
        facts[f"{part}_windows"] = len(windows)
        facts[f"{part}_anomalous_windows"] = anomalous
        facts["anomalous_windows"] += anomalous
    return facts


def _require_windows(dataset: Dataset, features: FeatureSet, longest: tuple[str, int]) -> None:
    """Refuse a dataset whose units or healthy stretches are too short for the window."""
    length = dataset.window.length
    name, rows = longest
    parts: tuple[Part, ...] = ("fit", "calibrate")
    for part in parts:
        if len(features.windows(part)) == 0:
            msg = (
                f"{dataset.name}: no {part} window is left with window.length={length}: the longest unit, {name!r}, "
                f"has {rows} rows; lower window.length or bring longer units"
            )
            raise DataError(msg)
    if len(features.windows("fit", healthy_only=True)) == 0:
        setting = "window.length or labels.healthy_from" if dataset.labels.run_to_failure else "window.length"
        msg = (
            f"{dataset.name}: no fit window of window.length={length} rows is healthy throughout (the longest unit, "
            f"{name!r}, has {rows} rows); lower {setting}"
        )
        raise DataError(msg)


def _write_statistics(features: FeatureSet) -> None:
    """Statistics of a bounded sample of windows, a chunk at a time."""
    names = statistic_names(features.sensors)
    schema = pa.schema(
        [
            ("unit", pa.string()),
            ("time", pa.float64()),
            ("part", pa.string()),
            ("label", pa.int8()),
            *((name, pa.float32()) for name in names),
        ]
    )
    with pq.ParquetWriter(features.folder / "statistics.parquet", schema) as writer:
        for part in _PARTS:
            sample = features.windows(part, healthy_only=part == "fit").evenly(_STATISTICS_PER_PART)
            for first in range(0, len(sample), _STATISTICS_CHUNK):
                chunk: Windows = sample.subset(slice(first, first + _STATISTICS_CHUNK))
                values = window_statistics(chunk.take(slice(None)))
                columns = [
                    text_to_arrow([features.unit_names[code] for code in features.units(chunk)]),
                    to_arrow(features.times(chunk)),
                    text_to_arrow([part] * len(chunk)),
                    to_arrow(features.labels(chunk)),
                    *(to_arrow(values[:, index]) for index in range(len(names))),
                ]
                writer.write_table(pa.Table.from_arrays(columns, schema=schema))
