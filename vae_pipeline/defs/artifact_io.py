"""What crosses from asset to asset: a record that says where the folder is, never the data itself."""

from collections.abc import Sequence

import dagster as dg
from pydantic import PrivateAttr

from vae_pipeline.defs.failures import told_to_dagster
from vae_pipeline.records import Artifact, Dataset
from vae_pipeline.settings import load_settings
from vae_pipeline.storage import Storage, open_storage

__all__ = ["ArtifactIOManager", "newest"]


class ArtifactIOManager(dg.ConfigurableIOManager):
    """Keeps the newest `Artifact` of every asset and partition as JSON under ``artifacts/`` in storage.

    What a run made itself it reads as it made it: another run of the same partition at the same time may have made a
    newer one, and stages of both do not go together.
    """

    _made: dict[tuple[str, str], Artifact] = PrivateAttr(default_factory=dict)

    def handle_output(self, context: dg.OutputContext, obj: Artifact) -> None:
        """Write the record."""
        open_storage(load_settings()).write_text(_key(context), obj.model_dump_json(indent=2))
        self._made[context.run_id, _key(context)] = obj

    def load_input(self, context: dg.InputContext) -> Artifact:
        """The record of the upstream asset's same partition."""
        own = self._made.get((context.step_context.run_id, _key(context)))
        if own is not None:
            return own
        with told_to_dagster():
            return Artifact.model_validate_json(open_storage(load_settings()).read_text(_key(context)))


def newest(storage: Storage, dataset: Dataset, stage: str) -> Artifact | None:
    """What the manager keeps of a stage that need not have run; None where it has not."""
    key = _address((dataset.line, stage), dataset.name)
    return Artifact.model_validate_json(storage.read_text(key)) if storage.has_text(key) else None


def _key(context: dg.InputContext | dg.OutputContext) -> str:
    return _address(context.asset_key.path, context.asset_partition_key)


def _address(asset: Sequence[str], partition: str) -> str:
    return "/".join(["artifacts", *asset, f"{partition}.json"])
