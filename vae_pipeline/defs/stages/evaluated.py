"""evaluated: how good the detector is on the test part, beside baselines."""

from typing import Any

import dagster as dg

from vae_pipeline.artifacts import produce
from vae_pipeline.defs.failures import told_to_dagster
from vae_pipeline.defs.metadata import picture, table
from vae_pipeline.defs.partitions import dataset_of
from vae_pipeline.defs.resources import StorageResource
from vae_pipeline.defs.stages.stage import result, stage_asset, upstream
from vae_pipeline.records import Artifact, Line, Training

__all__ = ["FLOOR", "evaluated_asset"]

FLOOR = 0.5
"""ROC-AUC of a coin; a detector whose interval reaches down to it is no detector."""


def evaluated_asset(line: Line) -> dg.AssetsDefinition:
    """Metrics with intervals, baselines, figures and the model card."""
    checks = [
        dg.AssetCheckSpec("beats_every_baseline", asset=[line, "evaluated"]),
        dg.AssetCheckSpec("is_above_the_floor", asset=[line, "evaluated"]),
    ]

    @stage_asset(
        line,
        "evaluated",
        {"scikitlearn"},
        ins=upstream(line, "features", "trained", "calibrated"),
        check_specs=checks,
    )
    def evaluated(
        context: dg.AssetExecutionContext,
        storage: StorageResource,
        features: Artifact,
        trained: Artifact,
        calibrated: Artifact,
    ) -> dg.MaterializeResult:
        """Metrics, baselines, figures and the model card."""
        from vae_pipeline.evaluation.evaluate import read_evaluation

        with told_to_dagster():
            dataset, store = dataset_of(context, line), storage.open()

            def work(folder: Any) -> dict[str, Any]:
                import json

                from vae_pipeline.detector.calibrate import CalibrationReport
                from vae_pipeline.detector.detector import Detector
                from vae_pipeline.evaluation.evaluate import evaluate
                from vae_pipeline.features.feature_set import FeatureSet

                source, fitted = store.folder(calibrated.key), store.folder(trained.key)
                # what the launchpad set for this fit, not what the catalogue has, belongs on the card
                training = Training.model_validate_json((fitted / "training.json").read_text())
                evaluation = evaluate(
                    dataset.model_copy(update={"training": training}),
                    Detector.load(source / "detector"),
                    FeatureSet.open(store.folder(features.key)),
                    CalibrationReport.model_validate_json((source / "report.json").read_text()),
                    history=json.loads((fitted / "history.json").read_text()),
                    folder=folder,
                    told=context.log.info,
                )
                return {f"test_{name}": value for name, value in evaluation.metrics.items()}

            # where the catalogue file lies changes nothing
            stated = dataset.model_dump(mode="json", exclude={"base"})
            inputs = (features.data_version, trained.data_version, calibrated.data_version, stated)
            artifact = produce(store, dataset, "evaluated", inputs, work)
            folder = store.folder(artifact.key)
            evaluation = read_evaluation(folder)
            rows = [{"detector": "VAE", **evaluation.metrics}] + [
                {"detector": name, **figures} for name, figures in evaluation.baselines.items()
            ]
            shown = [{key: row.get(key, "") for key in ("detector", "roc_auc", "pr_auc", "best_f1")} for row in rows]
            pictures = {path.stem: picture(path) for path in sorted((folder / "figures").glob("*.png"))}
            card = dg.MetadataValue.md((folder / "card.md").read_text())
            return result(
                artifact,
                store,
                metadata={**pictures, "beside baselines": table(shown), "model card": card},
                check_results=_check_results(evaluation),
            )

    return evaluated


def _check_results(evaluation: Any) -> list[dg.AssetCheckResult]:
    own, best = evaluation.metrics.get("pr_auc"), evaluation.best_baseline
    if own is None or best is None:
        told = "; ".join(evaluation.cannot) or "there is nothing to compare"
        names = ("beats_every_baseline", "is_above_the_floor")
        return [dg.AssetCheckResult(check_name=name, passed=True, description=told) for name in names]
    low = evaluation.metrics.get("roc_auc_low", evaluation.metrics["roc_auc"])
    return [
        dg.AssetCheckResult(
            check_name="beats_every_baseline",
            passed=own > best[1],
            severity=dg.AssetCheckSeverity.WARN,
            description=f"PR-AUC {own:.3f}, best baseline {best[0]} {best[1]:.3f}",
        ),
        dg.AssetCheckResult(
            check_name="is_above_the_floor",
            passed=low > FLOOR,
            severity=dg.AssetCheckSeverity.ERROR,
            description=f"lower end of the ROC-AUC's interval {low:.3f}",
        ),
    ]
