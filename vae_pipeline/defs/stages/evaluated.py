"""evaluated: how good the detector is on the test part, beside baselines."""

from typing import Any

import dagster as dg

from vae_pipeline.artifacts import produce
from vae_pipeline.defs.failures import told_to_dagster
from vae_pipeline.defs.metadata import picture, table
from vae_pipeline.defs.partitions import dataset_of
from vae_pipeline.defs.resources import StorageResource
from vae_pipeline.defs.stages.stage import result, stage_asset, upstream
from vae_pipeline.records import TRAININGS, Artifact, Line

__all__ = ["FLOOR", "evaluated_asset"]

FLOOR = 0.5
"""ROC-AUC of a coin; a detector whose interval reaches down to it is no detector."""


_SHOWN = ("roc_auc", "pr_auc", "partial_auc", "pixel_auroc", "aupro", "best_f1")


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
        from vae_pipeline.evaluation.result import read_evaluation

        with told_to_dagster():
            dataset, store = dataset_of(context, line), storage.open()

            def work(folder: Any) -> dict[str, Any]:
                from vae_pipeline.evaluation.evaluate import evaluate

                fitted = store.folder(trained.key)
                # what the launchpad set for this fit, not what the catalogue has, belongs on the card
                training = TRAININGS[line].model_validate_json((fitted / "training.json").read_text())
                evaluation = evaluate(
                    dataset.model_copy(update={"training": training}),
                    store.folder(features.key),
                    fitted,
                    store.folder(calibrated.key),
                    folder,
                    context.log.info,
                )
                notes = {"cannot_compute": "\n".join(evaluation.cannot)} if evaluation.cannot else {}
                return {f"test_{name}": value for name, value in evaluation.metrics.items()} | notes

            # where the catalogue file lies and what tuning would search change nothing
            stated = dataset.model_dump(mode="json", exclude={"base", "tuning"})
            inputs = (features.data_version, trained.data_version, calibrated.data_version, stated)
            artifact = produce(store, dataset, "evaluated", inputs, work)
            folder = store.folder(artifact.key)
            evaluation = read_evaluation(folder)
            rows = [{"detector": "VAE", **evaluation.metrics}] + [
                {"detector": name, **figures} for name, figures in evaluation.baselines.items()
            ]
            names = [name for name in _SHOWN if any(name in row for row in rows)]
            shown = [{key: row.get(key, "") for key in ("detector", *names)} for row in rows]
            pictures = {path.stem: picture(path) for path in sorted((folder / "figures").glob("*.png"))}
            card = dg.MetadataValue.md((folder / "card.md").read_text())
            groups = [{"group": name, **figures} for name, figures in evaluation.groups.items()]
            more = {"by group": table(groups)} if groups else {}
            return result(
                artifact,
                store,
                metadata={**pictures, "beside baselines": table(shown), **more, "model card": card},
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
