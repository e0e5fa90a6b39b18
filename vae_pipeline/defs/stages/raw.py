"""raw: the dataset's tables, recordings or images, brought in once."""

from collections import Counter

import dagster as dg

from vae_pipeline.artifacts import produce
from vae_pipeline.defs.failures import RETRY, told_to_dagster
from vae_pipeline.defs.partitions import dataset_of
from vae_pipeline.defs.resources import StorageResource
from vae_pipeline.defs.stages.stage import result, stage_asset, stated
from vae_pipeline.records import Artifact, Dataset, Line
from vae_pipeline.settings import Settings
from vae_pipeline.storage import Storage

__all__ = ["bring_in", "raw_asset"]


def raw_asset(line: Line) -> dg.AssetsDefinition:
    """Downloads, extracts and reads the partition's dataset into canonical tables or an index of files."""

    @stage_asset(line, "raw", {"parquet"}, retry_policy=RETRY, deps=[dg.AssetKey([line, "received"])])
    def raw(context: dg.AssetExecutionContext, storage: StorageResource) -> dg.MaterializeResult:
        """Raw data with their licence and origin."""
        with told_to_dagster():
            store = storage.open()
            return result(bring_in(dataset_of(context, line), storage.settings, store), store)

    return raw


def bring_in(dataset: Dataset, settings: Settings, store: Storage) -> Artifact:
    """The raw data of the dataset's newest version: found in storage, or read now."""
    from vae_pipeline.sources.batches import newest_version
    from vae_pipeline.sources.load import load, source_version

    version = newest_version(store, dataset)  # asked once: what is read is what the data version says
    source = {"archive", "folder", "files", "columns", "labels", "generator", "kind"}
    inputs = (source_version(dataset, settings, version), stated(dataset, source))
    return produce(store, dataset, "raw", inputs, lambda folder: _facts(load(dataset, settings, folder, version)))


def _facts(source: dict) -> dict[str, int | str]:
    facts: dict[str, int | str] = {}
    for name, value in source.items():
        if isinstance(value, dict):
            facts |= {f"{name}_{key}": item for key, item in value.items() if isinstance(item, int | str)}
        elif isinstance(value, list):
            facts[name] = len(value)
        elif isinstance(value, int | str):
            facts[name] = value
    if source.get("left_out"):  # by name: what is missing here may be missed
        facts["left_out"] = ", ".join(source["left_out"])
    labelled = Counter(str(batch["labelled"]).partition(": ")[0] for batch in source.get("batches", ()))
    if labelled:
        facts["batches_labelled"] = ", ".join(f"{count} {how}" for how, count in labelled.items())
    return facts | {f"{part}_rows": about["rows"] for part, about in source.get("parts", {}).items()}
