"""trained: the fitted network."""

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import dagster as dg

from vae_pipeline.artifacts import produce
from vae_pipeline.defs.config import training_config
from vae_pipeline.defs.failures import told_to_dagster
from vae_pipeline.defs.metadata import picture
from vae_pipeline.defs.partitions import dataset_of
from vae_pipeline.defs.resources import MlflowResource, StorageResource
from vae_pipeline.defs.stages.stage import result, stage_asset, upstream
from vae_pipeline.defs.tuned_training import chosen_training
from vae_pipeline.records import TUNED, Artifact, Line

__all__ = ["trained_asset"]


_PICTURES = 8
"""Times in a training that reconstructions are shown."""


def trained_asset(line: Line) -> dg.AssetsDefinition:
    """Fits the line's VAE on normal samples of the fit part; epochs are told to MLflow."""
    form = training_config(line)

    # no input: what tuning found is read where there is something, and may be missing
    @stage_asset(
        line,
        "trained",
        {"pytorch", "mlflow"},
        ins=upstream(line, "features"),
        deps=[dg.AssetKey([line, "tuned"])] if line in TUNED else [],
        pool="training",
    )
    def trained(
        context: dg.AssetExecutionContext,
        config: form,  # type: ignore[valid-type]
        storage: StorageResource,
        mlflow: MlflowResource,
        features: Artifact,
    ) -> dg.MaterializeResult:
        """The fitted network: weights, ONNX file and history."""
        with told_to_dagster():
            dataset, store = dataset_of(context, line), storage.open()
            chosen = chosen_training(dataset, config, features, store)
            training = chosen.training
            dataset = dataset.model_copy(update={"training": training})
            if chosen.tuned or chosen.passed_over:
                context.log.info(f"tuned: {chosen.tuned}" if chosen.tuned else chosen.passed_over)
            champion = mlflow.shelf.find_champion(f"{line}-{dataset.name}") if config.warm_start else None
            begun_with = {"begun_with": f"{champion.name} version {champion.version}"} if champion else {}

            def work(folder: Path) -> dict[str, Any]:
                from vae_pipeline.evaluation.figures import training_figure
                from vae_pipeline.models.train import train
                from vae_pipeline.storage import write_bytes, write_json

                history: list[dict[str, float]] = []
                with mlflow.run(context) as run, mlflow.shelf.network(champion) if champion else nullcontext() as start:
                    run.log_parameters({"dataset": dataset.name, "features": features.data_version, **begun_with})
                    run.log_parameters(training.model_dump(mode="json"))
                    if chosen.tuned:
                        run.log_parameters({"tuned": chosen.tuned})
                    told = _told(context, run, training.epochs, folder, history)
                    fitted = train(dataset, store.folder(features.key), folder, told, start)
                    write_json(folder / "training.json", training)
                    if chosen.tuned:
                        write_json(folder / "tuned.json", {"tuned": chosen.tuned})
                    write_bytes(folder / "training.png", training_figure(history))
                    run.log_file(folder / "training.png")
                    facts = {"mlflow_run": run.run_id, "tuned": chosen.tuned or None, **begun_with}
                    return {**fitted.model_dump(), **facts}

            # a network trained with the same values by hand says nothing of tuning
            stated = ({"tuned": chosen.names} if chosen.names else {}, begun_with)
            inputs = (features.data_version, training, *(each for each in stated if each))
            artifact = produce(store, dataset, "trained", inputs, work)
            made = store.folder(artifact.key)
            pictures = {"training": picture(made / "training.png")}
            last = sorted((made / "reconstructions").glob("*.png"))[-1:]
            if last:
                pictures["reconstructions"] = picture(last[0])
            return result(artifact, store, metadata=pictures)

    return trained


def _told(
    context: dg.AssetExecutionContext, run: Any, epochs: int, folder: Path, history: list[dict[str, float]]
) -> Any:
    """Who is told of the epochs: the Dagster log, MLflow, ``history``, and the asset's page with pictures."""
    from vae_pipeline.models.train import Told
    from vae_pipeline.storage import write_bytes

    def report(epoch: int, metrics: dict[str, float]) -> None:
        history.append(metrics)
        run.log_metrics(metrics, step=epoch)
        context.log.info(
            f"epoch {epoch + 1}/{epochs}: validation loss {metrics['validation_loss']:.2f}, "
            f"KL {metrics['validation_kl']:.2f}, active units {metrics['active_units']:.0f}"
        )

    def show(epoch: int, shown: Any) -> None:
        if epoch % max(1, epochs // _PICTURES) and epoch + 1 < epochs:
            return
        from vae_pipeline.evaluation.image_figures import reconstructions_figure

        pairs = list(zip(shown.inputs, shown.reconstructions, strict=True))
        path = folder / "reconstructions" / f"epoch_{epoch + 1:03d}.png"
        write_bytes(path, reconstructions_figure(pairs, f"epoch {epoch + 1}"))
        run.log_file(path, "reconstructions")
        seen = {"reconstructions": picture(path), "epoch": epoch + 1}
        context.log_event(dg.AssetObservation(context.asset_key, partition=context.partition_key, metadata=seen))

    return Told(report, show, context.log.info, progress=sys.stderr.isatty())
