"""promoted: the better of challenger and champion on the same test part."""

import dagster as dg

from vae_pipeline.defs.failures import RETRY, told_to_dagster
from vae_pipeline.defs.partitions import dataset_of
from vae_pipeline.defs.resources import MlflowResource, StorageResource
from vae_pipeline.defs.stages.stage import stage_asset, upstream
from vae_pipeline.records import Artifact, Line

__all__ = ["promoted_asset"]


def promoted_asset(line: Line) -> dg.AssetsDefinition:
    """Compares by the stated rule and moves the champion alias."""

    @stage_asset(
        line,
        "promoted",
        {"mlflow"},
        ins=upstream(line, "raw", "features", "calibrated", "evaluated", "registered"),
        retry_policy=RETRY,
    )
    def promoted(
        context: dg.AssetExecutionContext,
        storage: StorageResource,
        mlflow: MlflowResource,
        raw: Artifact,
        features: Artifact,
        calibrated: Artifact,
        evaluated: Artifact,
        registered: Artifact,
    ) -> dg.MaterializeResult:
        """Which version is champion now, and why."""
        from vae_pipeline.detector.detector import Detector
        from vae_pipeline.evaluation.challenge import challenge

        with told_to_dagster():
            dataset, store, shelf = dataset_of(context, line), storage.open(), mlflow.shelf
            name, version = str(registered.facts["name"]), int(str(registered.facts["version"]))
            while True:
                champion = shelf.find_champion(name)
                if champion and champion.version == version:
                    promote, reason = True, f"version {version} is champion already"
                    break
                decision = challenge(
                    dataset,
                    store.folder(features.key),
                    raw=store.folder(raw.key),
                    evaluation=store.folder(evaluated.key),
                    challenger=Detector.load(store.folder(calibrated.key) / "detector"),
                    champion=Detector.load(shelf.detector_folder(name, champion.version)) if champion else None,
                    champion_metrics=champion.metrics if champion else {},
                )
                promote, reason = decision.promote, decision.reason
                against = champion.version if champion else None
                if shelf.decide(name, version, against=against, promote=promote, reason=reason):
                    break
                context.log.info("another version has become champion meanwhile: compared again")
            now = version if promote else (champion.version if champion else None)
            context.log.info(reason)
            artifact = Artifact(
                key=calibrated.key,
                data_version=f"{name}@champion:{now}",
                reused=now != version,
                facts={
                    "name": name,
                    "champion": now,
                    "before": champion.version if champion else None,
                    "challenger": version,
                    "promoted": promote,
                    "reason": reason,
                },
            )
            return dg.MaterializeResult(
                value=artifact,
                data_version=dg.DataVersion(artifact.data_version),
                metadata={key: value for key, value in artifact.facts.items() if value is not None},
            )

    return promoted
