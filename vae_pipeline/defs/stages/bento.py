"""bento: the champions of a line as a tested Bento, and its image where an engine is there."""

from typing import Any

import dagster as dg
from pydantic import Field

from vae_pipeline.defs.failures import told_to_dagster
from vae_pipeline.defs.metadata import table
from vae_pipeline.defs.resources import MlflowResource, StorageResource
from vae_pipeline.records import Line

__all__ = ["BentoConfig", "bento_asset"]


class BentoConfig(dg.Config):
    """What is made of the Bento."""

    image: bool = Field(default=True, description="build a container image where an engine is there")
    keep: int = Field(default=5, ge=1, description="Bentos of the line that stay in the store, this one among them")


def bento_asset(line: Line) -> dg.AssetsDefinition:
    """Packs what is champion now; the same champions and code give the same Bento."""

    @dg.asset(
        key=[line, "bento"],
        group_name=line,
        deps=[dg.AssetKey([line, "promoted"])],
        kinds={"bentoml"},
        description="The champions of the line as one Bento, asked their examples in its own environment.",
    )
    def bento(
        context: dg.AssetExecutionContext, config: BentoConfig, storage: StorageResource, mlflow: MlflowResource
    ) -> dg.MaterializeResult:
        with told_to_dagster():
            from vae_pipeline.packing.deployment import deploy

            given = {"image": config.image, "keep": config.keep}
            deployment = deploy(storage.settings, storage.open(), mlflow.shelf, line, **given)
        image = deployment.image
        (context.log.warning if image.engine and not image.name else context.log.info)(image.told)
        smoke = deployment.smoke
        rows = [
            {
                "model": model.name,
                "version": model.version,
                "trained": model.trained,
                "difference from evaluation": smoke.differences[model.name],
            }
            for model in deployment.models
        ]
        metadata: dict[str, Any] = {
            "models": table(rows),
            "tag": deployment.tag,
            "folder": dg.MetadataValue.path(deployment.path),
            "seconds until it answers": smoke.started,
            "memory of a worker (MB)": smoke.memory_megabytes,
            "its environment (MB)": smoke.environment_megabytes,
            "image": image.told,
        }
        return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(deployment.tag))

    return bento
