"""features: split and labelled, rows scaled and images brought to one size."""

from typing import Any

import dagster as dg

from vae_pipeline.artifacts import produce
from vae_pipeline.defs.failures import told_to_dagster
from vae_pipeline.defs.partitions import dataset_of
from vae_pipeline.defs.resources import StorageResource
from vae_pipeline.defs.stages.stage import result, stage_asset, stated, upstream
from vae_pipeline.records import Artifact, Dataset, Line
from vae_pipeline.settings import image_side

__all__ = ["features_asset"]


def features_asset(line: Line) -> dg.AssetsDefinition:
    """Raw data to the features folder; waits for the verdict."""

    @stage_asset(line, "features", {"numpy"}, ins=upstream(line, "raw", "validated"))
    def features(
        context: dg.AssetExecutionContext, storage: StorageResource, raw: Artifact, validated: Artifact
    ) -> dg.MaterializeResult:
        """Scaled rows or images of one size, with labels and parts."""
        from vae_pipeline.features.build import build

        with told_to_dagster():
            dataset, store = dataset_of(context, line), storage.open()
            inputs = (raw.data_version, validated.data_version, _shape(dataset))

            def work(folder: Any) -> dict[str, Any]:
                facts = build(dataset, store.folder(raw.key), folder)
                return {name: ", ".join(fact) if isinstance(fact, list) else fact for name, fact in facts.items()}

            artifact = produce(store, dataset, "features", inputs, work)
            for name, told in {
                "short_units": "shorter than a window, not scored",
                "constant_sensors": "constant",
            }.items():
                if artifact.facts.get(name):
                    context.log.warning(f"{name.replace('_', ' ')} ({told}): {artifact.facts[name]}")
            return result(artifact, store)

    return features


def _shape(dataset: Dataset) -> dict[str, Any]:
    """The settings that decide what features look like."""
    if dataset.medium == "table":
        return stated(dataset, {"columns", "labels", "window", "split", "regimes"})
    if dataset.medium == "sound":
        return stated(dataset, {"window", "split", "sound"})
    return {**stated(dataset, {"split", "imaging"}), "size": image_side(dataset.imaging.size)}
