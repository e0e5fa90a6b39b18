"""raw and features of the line multimodal: what the two other lines have, put together."""

from pathlib import Path
from typing import Any

import dagster as dg

from vae_pipeline.artifacts import produce
from vae_pipeline.defs.failures import told_to_dagster
from vae_pipeline.defs.partitions import dataset_named, dataset_of, line_of_pairs
from vae_pipeline.defs.resources import StorageResource
from vae_pipeline.defs.stages.stage import result, stage_asset, stated, upstream
from vae_pipeline.records import Artifact, Line

__all__ = ["paired_features_asset", "paired_raw_asset"]

_SIDES: dict[Line, str] = {"timeseries": "windows", "vision": "images"}


def _of_lines(*stages: str) -> dict[str, dg.AssetIn]:
    """Inputs of both lines, named ``windows_raw`` and so on, each from the partition that the pair names."""
    return {
        f"{side}_{stage}": dg.AssetIn(key=[line, stage], partition_mapping=line_of_pairs(line))
        for line, side in _SIDES.items()
        for stage in stages
    }


def paired_raw_asset(line: Line) -> dg.AssetsDefinition:
    """The tables of both lines' raw data: readings, and the index of images."""

    @stage_asset(line, "raw", {"parquet"}, ins=_of_lines("raw"))
    def raw(
        context: dg.AssetExecutionContext, storage: StorageResource, windows_raw: Artifact, images_raw: Artifact
    ) -> dg.MaterializeResult:
        """Raw tables of windows and of images."""
        with told_to_dagster():
            dataset, store = dataset_of(context, line), storage.open()
            sources = {"windows": windows_raw, "images": images_raw}

            def work(folder: Path) -> dict[str, Any]:
                from vae_pipeline.features.pairs import link

                for side, source in sources.items():
                    for file in sorted(store.folder(source.key).glob("*.parquet")):
                        link(file, folder / side / file.name)
                numbers = [source.facts.get("dataset_version", 1) for source in sources.values()]
                together = "+".join(str(number) for number in numbers)
                return {side: source.data_version for side, source in sources.items()} | {"dataset_version": together}

            inputs = tuple(source.data_version for source in sources.values())
            return result(produce(store, dataset, "raw", inputs, work), store)

    return raw


def paired_features_asset(line: Line) -> dg.AssetsDefinition:
    """Pairs of windows and images, with the networks and detectors of the two lines."""
    ins = {**upstream(line, "raw"), **_of_lines("features", "trained", "calibrated")}

    @stage_asset(line, "features", {"numpy"}, ins=ins)
    def features(
        context: dg.AssetExecutionContext,
        storage: StorageResource,
        raw: Artifact,
        windows_features: Artifact,
        windows_trained: Artifact,
        windows_calibrated: Artifact,
        images_features: Artifact,
        images_trained: Artifact,
        images_calibrated: Artifact,
    ) -> dg.MaterializeResult:
        """Which window belongs to which image, in each part."""
        with told_to_dagster():
            dataset, store = dataset_of(context, line), storage.open()
            made = {
                "windows": (windows_features, windows_trained, windows_calibrated),
                "images": (images_features, images_trained, images_calibrated),
            }

            def work(folder: Path) -> dict[str, Any]:
                from vae_pipeline.features.pairs import LineFolders, build_pairs

                tables = store.folder(raw.key)
                lines = {
                    side: LineFolders(
                        dataset_named(getattr(dataset.pairs, own), own),
                        tables / side,
                        *(store.folder(artifact.key) for artifact in made[side]),
                    )
                    for own, side in _SIDES.items()
                }
                return build_pairs(dataset, lines, folder)

            versions = [artifact.data_version for artifacts in made.values() for artifact in artifacts]
            inputs = (raw.data_version, *versions, stated(dataset, {"pairs", "split"}))
            return result(produce(store, dataset, "features", inputs, work), store)

    return features
