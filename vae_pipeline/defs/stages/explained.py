"""explained: why the highest alarms of the test part are what they are."""

from typing import Any

import dagster as dg

from vae_pipeline.artifacts import produce
from vae_pipeline.defs.config import ExplanationConfig, overridden
from vae_pipeline.defs.failures import told_to_dagster
from vae_pipeline.defs.metadata import picture, table
from vae_pipeline.defs.partitions import dataset_of
from vae_pipeline.defs.resources import StorageResource
from vae_pipeline.defs.stages.stage import result, stage_asset, upstream
from vae_pipeline.records import Artifact, Line

__all__ = ["explained_asset"]

_SHOWN = 3


def explained_asset(line: Line) -> dg.AssetsDefinition:
    """A report for each of the highest alarms, and a summary; no label is read."""

    @stage_asset(line, "explained", {"captum"}, ins=upstream(line, "features", "trained", "calibrated"))
    def explained(
        context: dg.AssetExecutionContext,
        config: ExplanationConfig,  # type: ignore[valid-type]
        storage: StorageResource,
        features: Artifact,
        trained: Artifact,
        calibrated: Artifact,
    ) -> dg.MaterializeResult:
        """Why the highest alarms alarm: sensors or regions, when, latents, attribution."""
        with told_to_dagster():
            dataset, store = dataset_of(context, line), storage.open()
            dataset = dataset.model_copy(update={"explanation": overridden(dataset.explanation, config)})

            def work(folder: Any) -> dict[str, Any]:
                from vae_pipeline.evaluation.explain import explain_test_part

                summary = explain_test_part(
                    dataset,
                    store.folder(features.key),
                    store.folder(trained.key),
                    store.folder(calibrated.key),
                    folder,
                    context.log.info,
                )
                first = summary.frequent[0].name if summary.frequent else None
                return {"alarms": summary.alarms, "explained": len(summary.explained), "most_often": first}

            inputs = (features.data_version, trained.data_version, calibrated.data_version, dataset.explanation)
            artifact = produce(store, dataset, "explained", inputs, work)
            from vae_pipeline.evaluation.explain import ExplanationSummary

            folder = store.folder(artifact.key)
            summary = ExplanationSummary.model_validate_json((folder / "summary.json").read_text())
            pictures = {
                f"{number}: {name}": picture(folder / f"{number:02d}.png")
                for number, name in enumerate(summary.explained[:_SHOWN], start=1)
            }
            often = table([each.model_dump() for each in summary.frequent])
            report = dg.MetadataValue.url((folder / "index.html").as_uri())
            return result(artifact, store, metadata={**pictures, "most often": often, "report": report})

    return explained
