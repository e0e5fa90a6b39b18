"""What all stages share: key, group, partitions, version, retries."""

from collections.abc import Callable
from typing import Any

import dagster as dg

from vae_pipeline.artifacts import STAGE_CODE_VERSIONS
from vae_pipeline.defs.executors import resources_of
from vae_pipeline.defs.metadata import folder_metadata
from vae_pipeline.defs.partitions import line_partitions
from vae_pipeline.records import Artifact, Dataset, Line
from vae_pipeline.storage import Storage

__all__ = ["result", "stage_asset", "stated", "upstream"]

_ARTIFACT = dg.PythonObjectDagsterType(Artifact, name="Artifact")
_LATER = (("archive", "md5"), ("split", "folds"))
"""Settings that came when there were data already."""


def stage_asset(
    line: Line, stage: str, kinds: set[str], **more: Any
) -> Callable[[Callable[..., dg.MaterializeResult]], dg.AssetsDefinition]:
    """Decorator that makes a function the asset of a stage: key, group, partitions, version and IO manager set.

    Args:
        line: prefix of the key, and the group.
        stage: a key of `STAGE_CODE_VERSIONS`.
        kinds: shown in the UI.
        more: further arguments of ``@dg.asset``.
    """
    arguments: dict[str, Any] = {
        "key": [line, stage],
        "group_name": line,
        "partitions_def": line_partitions(line),
        "code_version": STAGE_CODE_VERSIONS[stage],
        "kinds": kinds,
        "io_manager_key": "artifacts",
        "dagster_type": _ARTIFACT,
        **resources_of(stage),
        **more,
    }
    return dg.asset(**arguments)  # type: ignore[return-value]


def upstream(line: Line, *stages: str) -> dict[str, dg.AssetIn]:
    """Inputs named after the stages they come from."""
    return {stage: dg.AssetIn(key=[line, stage]) for stage in stages}


def stated(dataset: Dataset, fields: set[str]) -> dict[str, Any]:
    """The fields that determine a stage's output, JSON-like.

    A setting of `_LATER` counts only where it is stated: what was made before there was one keeps its data version.
    """
    found = dataset.model_dump(mode="json", include=fields)
    for field, setting in _LATER:
        record = found.get(field)
        if record and record[setting] is None:
            del record[setting]
    return found


def result(artifact: Artifact, storage: Storage, **more: Any) -> dg.MaterializeResult:
    """The artifact with its facts as metadata, ``metadata`` and other arguments added."""
    # pictures and tables first: they are what a person looks for
    metadata = {**more.pop("metadata", {}), **folder_metadata(artifact, storage.folder(artifact.key))}
    version = dg.DataVersion(artifact.data_version)
    return dg.MaterializeResult(value=artifact, metadata=metadata, data_version=version, **more)
