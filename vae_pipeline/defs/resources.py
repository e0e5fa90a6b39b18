"""Where stages keep their output and tell of their runs."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from pydantic import Field

from vae_pipeline.registry.shelf import Shelf
from vae_pipeline.registry.tracking import RunHandle, Tracker
from vae_pipeline.settings import Settings, load_settings
from vae_pipeline.storage import Storage, open_storage

__all__ = ["MlflowResource", "StorageResource"]


class StorageResource(dg.ConfigurableResource):
    """Stage folders, local or on S3."""

    root: str = Field(default="", description="folder or s3:// address; VAE_PIPELINE_STORAGE when left out")

    @property
    def settings(self) -> Settings:
        """The package's settings, with this root."""
        settings = load_settings()
        return settings.model_copy(update={"storage": self.root}) if self.root else settings

    def open(self) -> Storage:
        """The storage."""
        return open_storage(self.settings)


class MlflowResource(dg.ConfigurableResource):
    """Runs and the registry of one MLflow server: one run per asset and partition, always ended."""

    tracking_uri: str = Field(default="", description="MLFLOW_TRACKING_URI or the embedded database when left out")

    @property
    def tracker(self) -> Tracker:
        """Runs."""
        settings = load_settings()
        return Tracker(
            settings.model_copy(update={"tracking_uri": self.tracking_uri}) if self.tracking_uri else settings
        )

    @property
    def shelf(self) -> Shelf:
        """Registered versions."""
        return Shelf(self.tracker)

    @contextmanager
    def run(self, context: dg.AssetExecutionContext) -> Iterator[RunHandle]:
        """An MLflow run named after asset and partition, tagged with the Dagster run."""
        line, stage = context.asset_key.path[0], context.asset_key.path[-1]
        tags = {
            "dagster/run_id": context.run.run_id,
            "dagster/asset_key": context.asset_key.to_user_string(),
            "dagster/partition": context.partition_key,
        }
        with self.tracker.run(line, f"{context.partition_key} {stage}", tags) as run:
            yield run
