"""calibrated: the detector folder, with its score and threshold."""

from typing import Any

import dagster as dg

from vae_pipeline.artifacts import produce
from vae_pipeline.defs.config import calibration_config, overridden
from vae_pipeline.defs.failures import told_to_dagster
from vae_pipeline.defs.metadata import table
from vae_pipeline.defs.partitions import dataset_of
from vae_pipeline.defs.resources import StorageResource
from vae_pipeline.defs.stages.stage import result, stage_asset, upstream
from vae_pipeline.records import Artifact, Line

__all__ = ["calibrated_asset"]


def calibrated_asset(line: Line) -> dg.AssetsDefinition:
    """Standardises the score and sets the threshold on units that were not fitted on."""
    form = calibration_config(line)

    @stage_asset(line, "calibrated", {"onnx"}, ins=upstream(line, "features", "trained"))
    def calibrated(
        context: dg.AssetExecutionContext,
        config: form,  # type: ignore[valid-type]
        storage: StorageResource,
        features: Artifact,
        trained: Artifact,
    ) -> dg.MaterializeResult:
        """The detector: network, scaling, score, threshold."""
        from vae_pipeline.detector.report import CalibrationReport

        with told_to_dagster():
            dataset, store = dataset_of(context, line), storage.open()
            dataset = dataset.model_copy(update={"calibration": overridden(dataset.calibration, config)})

            def work(folder: Any) -> dict[str, Any]:
                from vae_pipeline.detector.calibrate import calibrate
                from vae_pipeline.models.train import fold_networks
                from vae_pipeline.storage import write_json

                opened, fitted = store.folder(features.key), store.folder(trained.key)
                detector, report = calibrate(dataset, features.data_version, opened, fitted / "model.onnx")
                detector.save(folder / "detector")
                write_json(folder / "report.json", report)
                for fold, network in fold_networks(opened, fitted):
                    one, _ = calibrate(dataset, features.data_version, fold, network / "model.onnx")
                    one.save(folder / "folds" / fold.name / "detector")
                threshold = detector.description.threshold
                return {
                    "threshold": threshold.value,
                    "method": threshold.method,
                    "guarantee": threshold.guarantee,
                    "warnings": "; ".join(threshold.warnings),
                    "score": " + ".join(detector.description.form),
                    "placements": ", ".join(getattr(detector.description, "placements", ())) or None,
                    "late": getattr(detector.description, "late", None),
                    f"normal_{report.noun}": report.normal_samples,
                    f"anomalous_{report.noun}": report.anomalous_samples,
                    "forms_compared_by": report.criterion,
                }

            inputs = (features.data_version, trained.data_version, dataset.calibration)
            artifact = produce(store, dataset, "calibrated", inputs, work)
            if artifact.facts.get("warnings"):
                context.log.warning(f"threshold: {artifact.facts['warnings']}")
            report = CalibrationReport.model_validate_json((store.folder(artifact.key) / "report.json").read_text())
            forms = [
                {"form": form.name, **form.model_dump(exclude={"form", "placement"}, exclude_none=True)}
                for form in report.forms
            ]
            return result(artifact, store, metadata={f"forms on calibration {report.noun}": table(forms)})

    return calibrated
