"""cross_validated: the figures of every fold of units, on demand."""

from typing import Any

import dagster as dg
from pydantic import Field, create_model

from vae_pipeline.artifacts import produce
from vae_pipeline.defs.config import calibration_config, overridden
from vae_pipeline.defs.failures import told_to_dagster
from vae_pipeline.defs.metadata import table
from vae_pipeline.defs.partitions import dataset_of
from vae_pipeline.defs.resources import StorageResource
from vae_pipeline.defs.stages.stage import result, stage_asset, upstream
from vae_pipeline.records import TRAININGS, Artifact, Line

__all__ = ["cross_validated_asset"]


def cross_validated_asset(line: Line) -> dg.AssetsDefinition:
    """Holds out every unit once; each fold has a scaling, network and threshold of its own."""
    form = create_model(
        "CrossValidationConfig",
        __base__=calibration_config(line),
        folds=(int, Field(default=5, description="how many times a share of the units is held out")),
    )

    @stage_asset(
        line, "cross_validated", {"pytorch"}, ins=upstream(line, "raw", "features", "trained"), pool="training"
    )
    def cross_validated(
        context: dg.AssetExecutionContext,
        config: form,  # type: ignore[valid-type]
        storage: StorageResource,
        raw: Artifact,
        features: Artifact,
        trained: Artifact,
    ) -> dg.MaterializeResult:
        """Mean and spread over folds of units, and the table of folds."""
        from vae_pipeline.experiments.cross_validate import cross_validate, read_folds, write_folds

        with told_to_dagster():
            dataset, store = dataset_of(context, line), storage.open()
            # what the network was trained with, by the launchpad or by tuning, is what the folds are trained with
            stated = (store.folder(trained.key) / "training.json").read_text()
            training = TRAININGS[line].model_validate_json(stated)
            calibration = overridden(dataset.calibration, config)
            dataset = dataset.model_copy(update={"training": training, "calibration": calibration})

            def work(folder: Any) -> dict[str, Any]:
                found = cross_validate(
                    dataset,
                    features.data_version,
                    store.folder(raw.key),
                    store.folder(features.key),
                    config.folds,
                    context.log.info,
                )
                write_folds(found, folder)
                spread = {f"{name}_spread": value for name, value in found.spread.items()}
                return {"folds": config.folds, "scored": found.scored, **found.mean, **spread}

            inputs = (raw.data_version, features.data_version, training, calibration, config.folds)
            artifact = produce(store, dataset, "cross_validated", inputs, work)
            found = read_folds(store.folder(artifact.key))
            rows = [
                {"fold": fold.number, "held out": len(fold.held_out)}
                | {name: fold.metrics[name] for name in found.mean if name in fold.metrics}
                for fold in found.folds
            ]
            rows += [{"fold": "mean", **found.mean}, {"fold": "spread", **found.spread}]
            names = ("fold", "held out", *found.mean)
            return result(
                artifact, store, metadata={"by fold": table([{key: row.get(key, "") for key in names} for row in rows])}
            )

    return cross_validated
