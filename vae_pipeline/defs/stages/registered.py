"""registered: a version in the MLflow registry, called challenger."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg

from vae_pipeline.artifacts import CHAIN, STAGE_CODE_VERSIONS
from vae_pipeline.defs.failures import RETRY, told_to_dagster
from vae_pipeline.defs.partitions import dataset_of
from vae_pipeline.defs.resources import MlflowResource, StorageResource
from vae_pipeline.defs.stages.stage import stage_asset, upstream
from vae_pipeline.records import Artifact, Line

__all__ = ["registered_asset"]

_OF_DATA = ("dataset_version", "batches_labelled", "train_rows")
"""What a version says of the raw data it was made from; retraining asks how much of the dataset was learnt from."""


def registered_asset(line: Line) -> dg.AssetsDefinition:
    """Registers the evaluated detector once; the same evaluation gives the same version."""

    @stage_asset(
        line,
        "registered",
        {"mlflow"},
        ins=upstream(line, "raw", "features", "trained", "calibrated", "evaluated"),
        retry_policy=RETRY,
    )
    def registered(
        context: dg.AssetExecutionContext,
        storage: StorageResource,
        mlflow: MlflowResource,
        raw: Artifact,
        features: Artifact,
        trained: Artifact,
        calibrated: Artifact,
        evaluated: Artifact,
    ) -> dg.MaterializeResult:
        """A version of the registered model with metrics, versions and the Dagster run as tags."""
        with told_to_dagster():
            dataset, store, shelf = dataset_of(context, line), storage.open(), mlflow.shelf
            name = f"{line}-{dataset.name}"
            known = shelf.find(name, evaluated.data_version)
            version = known.version if known else None
            of_data = {"dataset_version": 1, **{fact: raw.facts[fact] for fact in _OF_DATA if fact in raw.facts}}
            if version is None:
                tags = {
                    "line": line,
                    "dataset": dataset.name,
                    "data_version": features.data_version,
                    **{fact: str(value) for fact, value in of_data.items()},
                    "evaluation_version": evaluated.data_version,
                    "code_version": ".".join(STAGE_CODE_VERSIONS[stage] for stage in CHAIN),
                    "dagster/run_id": context.run.run_id,
                }
                made = {"trained": trained, "calibrated": calibrated, "evaluated": evaluated}
                folders = {stage: store.folder(artifact.key) for stage, artifact in made.items()}
                with mlflow.run(context) as run, TemporaryDirectory() as work:
                    from vae_pipeline.detector.detector import Detector
                    from vae_pipeline.evaluation.example import write_example

                    example = Path(work) / "example"
                    write_example(
                        dataset,
                        store.folder(features.key),
                        raw=store.folder(raw.key),
                        evaluation=folders["evaluated"],
                        detector=Detector.load(folders["calibrated"] / "detector"),
                        folder=example,
                    )
                    version = _register(run, shelf, name, folders, example, tags)
            elif not known or not known.aliases:
                shelf.challenge(name, version)
            artifact = Artifact(
                key=calibrated.key,
                data_version=f"{name}:{version}",
                reused=known is not None,
                facts={"name": name, "version": version, **of_data},
            )
            return dg.MaterializeResult(
                value=artifact,
                data_version=dg.DataVersion(artifact.data_version),
                metadata={**artifact.facts, "reused": artifact.reused, "uri": f"models:/{name}/{version}"},
            )

    return registered


def _register(run: Any, shelf: Any, name: str, folders: dict[str, Path], example: Path, tags: dict[str, str]) -> int:
    from vae_pipeline.evaluation.result import read_evaluation

    folder = folders["evaluated"]
    metrics = read_evaluation(folder).flat()
    run.log_metrics(metrics)
    run.log_file(folder / "card.md")
    for path in sorted((folder / "figures").glob("*.png")):
        run.log_file(path, "figures")
    shown = ("test_roc_auc", "test_pr_auc", "test_f1")
    return shelf.register(
        run,
        name,
        folders["calibrated"] / "detector",
        beside={
            "network": folders["trained"] / "network.json",
            "weights": folders["trained"] / "weights.npz",
            **({"example": example} if example.is_dir() else {}),
        },
        tags={**tags, **{key: f"{metrics[key]:.4f}" for key in shown if key in metrics}},
        metrics=metrics,
        card=(folder / "card.md").read_text(),
    )
