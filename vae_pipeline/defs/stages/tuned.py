"""tuned: the best hyperparameters that a search found, on demand."""

from typing import Any

import dagster as dg
from pydantic import Field

from vae_pipeline.artifacts import produce
from vae_pipeline.defs.config import overridden
from vae_pipeline.defs.failures import told_to_dagster
from vae_pipeline.defs.metadata import picture, table
from vae_pipeline.defs.partitions import dataset_of
from vae_pipeline.defs.resources import MlflowResource, StorageResource
from vae_pipeline.defs.stages.stage import result, stage_asset, upstream
from vae_pipeline.records import Artifact, Line

__all__ = ["TuningConfig", "tuned_asset"]


class TuningConfig(dg.Config):
    """The budget of a search; the catalogue's where left out."""

    trials: int | None = Field(default=None, description="trainings, those of earlier commands among them")
    minutes: float | None = Field(default=None, description="of all commands that went on with the study")
    workers: int | None = Field(default=None, description="processes that train at a time")
    fresh: bool = Field(default=False, description="forget the trials there are and begin anew")


def tuned_asset(line: Line) -> dg.AssetsDefinition:
    """Searches hyperparameters by what they separate on calibration data; goes on where it was interrupted."""

    @stage_asset(line, "tuned", {"optuna", "mlflow"}, ins=upstream(line, "features"), pool="training")
    def tuned(
        context: dg.AssetExecutionContext,
        config: TuningConfig,
        storage: StorageResource,
        mlflow: MlflowResource,
        features: Artifact,
    ) -> dg.MaterializeResult:
        """The best hyperparameters beside the catalogue's, with every trial and two pictures."""
        from vae_pipeline.experiments.best import read_best
        from vae_pipeline.experiments.report import write_tuned
        from vae_pipeline.experiments.tune import tune

        with told_to_dagster():
            dataset, store = dataset_of(context, line), storage.open()
            dataset = dataset.model_copy(update={"tuning": overridden(dataset.tuning, config)})
            folder = store.folder(features.key)
            found = tune(dataset, features.data_version, folder, storage.settings, context.log.info, fresh=config.fresh)

            def work(into: Any) -> dict[str, Any]:
                write_tuned(found, into)
                with mlflow.run(context) as run:
                    run.log_parameters({"dataset": dataset.name, "features": features.data_version})
                    run.log_parameters(found.parameters)
                    known = {"separation": found.value, "default_separation": found.default_value}
                    run.log_metrics({name: value for name, value in known.items() if value is not None})
                    for name in ("trials.csv", "history.png", "importance.png"):
                        run.log_file(into / name)
                return {
                    "best": found.value,
                    "default": found.default_value,
                    "best_trial": found.trial,
                    "trials": len(found.trials),
                    "minutes": found.seconds / 60.0,
                    "ended_by": found.within,
                    "compared_by": found.criterion,
                    **{name: value for name, value in found.parameters.items() if not isinstance(value, list)},
                }

            # a search is not repeated bit by bit: what it found is what names it
            inputs = (features.data_version, found.model_dump(mode="json", exclude={"seconds", "within"}))
            artifact = produce(store, dataset, "tuned", inputs, work)
            made = store.folder(artifact.key)
            best = read_best(made)
            rows = [
                {**row.model_dump(include={"number", "state", "value", "epochs"}), **row.parameters}
                for row in sorted(best.trials, key=lambda row: -(row.value or 0.0))
            ]
            pictures = {name: picture(made / f"{name}.png") for name in ("history", "importance")}
            return result(artifact, store, metadata={**pictures, "all trials": table(rows)})

    return tuned
