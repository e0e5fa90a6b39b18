"""features: split, labelled, scaled rows and window statistics."""

from typing import Any

import dagster as dg

from vae_pipeline.artifacts import produce
from vae_pipeline.defs.failures import told_to_dagster
from vae_pipeline.defs.partitions import dataset_of
from vae_pipeline.defs.resources import StorageResource
from vae_pipeline.defs.stages.stage import result, stage_asset, upstream
from vae_pipeline.records import Artifact, Line

__all__ = ["features_asset"]


def features_asset(line: Line) -> dg.AssetsDefinition:
    """Raw tables to the features folder; waits for the verdict."""

    @stage_asset(line, "features", {"numpy"}, ins=upstream(line, "raw", "validated"))
    def features(
        context: dg.AssetExecutionContext, storage: StorageResource, raw: Artifact, validated: Artifact
    ) -> dg.MaterializeResult:
        """Scaled rows, labels, parts and window statistics."""
        from vae_pipeline.features.build import build

        with told_to_dagster():
            dataset, store = dataset_of(context, line), storage.open()
            shaped = ("columns", "labels", "window", "split", "regimes")
            inputs = (raw.data_version, validated.data_version, dataset.model_dump(mode="json", include=set(shaped)))

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
