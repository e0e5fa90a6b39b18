"""raw: the dataset's tables, recordings or images, brought in once."""

import dagster as dg

from vae_pipeline.artifacts import produce
from vae_pipeline.defs.failures import RETRY, told_to_dagster
from vae_pipeline.defs.partitions import dataset_of
from vae_pipeline.defs.resources import StorageResource
from vae_pipeline.defs.stages.stage import result, stage_asset, stated
from vae_pipeline.records import Line

__all__ = ["raw_asset"]


def raw_asset(line: Line) -> dg.AssetsDefinition:
    """Downloads, extracts and reads the partition's dataset into canonical tables or an index of files."""

    @stage_asset(line, "raw", {"parquet"}, retry_policy=RETRY)
    def raw(context: dg.AssetExecutionContext, storage: StorageResource) -> dg.MaterializeResult:
        """Raw data with their licence and origin."""
        from vae_pipeline.sources.load import load, source_version

        with told_to_dagster():
            dataset, settings, store = dataset_of(context, line), storage.settings, storage.open()
            source = {"archive", "folder", "files", "columns", "labels", "generator", "kind"}
            inputs = (source_version(dataset, settings), stated(dataset, source))
            artifact = produce(store, dataset, "raw", inputs, lambda folder: _facts(load(dataset, settings, folder)))
            return result(artifact, store)

    return raw


def _facts(source: dict) -> dict[str, int | str]:
    facts: dict[str, int | str] = {}
    for name, value in source.items():
        if isinstance(value, dict):
            facts |= {f"{name}_{key}": item for key, item in value.items() if isinstance(item, int | str)}
        elif isinstance(value, list):
            facts[name] = len(value)
        elif isinstance(value, int | str):
            facts[name] = value
    return facts
