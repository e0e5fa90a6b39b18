"""trained: the fitted network."""

import sys
from typing import Any

import dagster as dg

from vae_pipeline.artifacts import produce
from vae_pipeline.defs.config import TrainingConfig, overridden
from vae_pipeline.defs.failures import told_to_dagster
from vae_pipeline.defs.metadata import picture
from vae_pipeline.defs.partitions import dataset_of
from vae_pipeline.defs.resources import MlflowResource, StorageResource
from vae_pipeline.defs.stages.stage import result, stage_asset, upstream
from vae_pipeline.records import Artifact, Line

__all__ = ["trained_asset"]


def trained_asset(line: Line) -> dg.AssetsDefinition:
    """Fits the line's VAE on normal windows of the fit part; epochs are told to MLflow."""

    @stage_asset(line, "trained", {"pytorch", "mlflow"}, ins=upstream(line, "features"), pool="training")
    def trained(
        context: dg.AssetExecutionContext,
        config: TrainingConfig,  # type: ignore[valid-type]
        storage: StorageResource,
        mlflow: MlflowResource,
        features: Artifact,
    ) -> dg.MaterializeResult:
        """The fitted network: weights, ONNX file and history."""
        with told_to_dagster():
            dataset, store = dataset_of(context, line), storage.open()
            training = overridden(dataset.training, config)

            def work(folder: Any) -> dict[str, Any]:
                from vae_pipeline.evaluation.figures import training_figure
                from vae_pipeline.features.feature_set import FeatureSet
                from vae_pipeline.models.train import train
                from vae_pipeline.storage import write_bytes, write_json

                history: list[dict[str, float]] = []
                with mlflow.run(context) as run:
                    run.log_parameters({"dataset": dataset.name, "features": features.data_version})
                    run.log_parameters(training.model_dump(mode="json"))

                    def report(epoch: int, metrics: dict[str, float]) -> None:
                        history.append(metrics)
                        run.log_metrics(metrics, step=epoch)
                        context.log.info(
                            f"epoch {epoch + 1}/{training.epochs}: validation loss {metrics['validation_loss']:.2f}, "
                            f"KL {metrics['validation_kl']:.2f}, active units {metrics['active_units']:.0f}"
                        )

                    opened = FeatureSet.open(store.folder(features.key))
                    fitted = train(opened, training, folder, report=report, progress=sys.stderr.isatty())
                    write_json(folder / "training.json", training)
                    write_bytes(folder / "training.png", training_figure(history))
                    run.log_file(folder / "training.png")
                    return {**fitted.model_dump(), "mlflow_run": run.run_id}

            artifact = produce(store, dataset, "trained", (features.data_version, training), work)
            return result(artifact, store, metadata={"training": picture(store.folder(artifact.key) / "training.png")})

    return trained
