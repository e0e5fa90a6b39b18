"""calibrated: the detector folder, with its score and threshold."""

from typing import Any

import dagster as dg

from vae_pipeline.artifacts import produce
from vae_pipeline.defs.config import CalibrationConfig, overridden
from vae_pipeline.defs.failures import told_to_dagster
from vae_pipeline.defs.metadata import table
from vae_pipeline.defs.partitions import dataset_of
from vae_pipeline.defs.resources import StorageResource
from vae_pipeline.defs.stages.stage import result, stage_asset, upstream
from vae_pipeline.records import Artifact, Line

__all__ = ["calibrated_asset"]


def calibrated_asset(line: Line) -> dg.AssetsDefinition:
    """Standardises the score and sets the threshold on units that were not fitted on."""

    @stage_asset(line, "calibrated", {"onnx"}, ins=upstream(line, "features", "trained"))
    def calibrated(
        context: dg.AssetExecutionContext,
        config: CalibrationConfig,  # type: ignore[valid-type]
        storage: StorageResource,
        features: Artifact,
        trained: Artifact,
    ) -> dg.MaterializeResult:
        """The detector: network, scaling, score, threshold."""
        from vae_pipeline.detector.calibrate import CalibrationReport

        with told_to_dagster():
            dataset, store = dataset_of(context, line), storage.open()
            dataset = dataset.model_copy(update={"calibration": overridden(dataset.calibration, config)})

            def work(folder: Any) -> dict[str, Any]:
                from vae_pipeline.detector.calibrate import calibrate
                from vae_pipeline.features.feature_set import FeatureSet
                from vae_pipeline.storage import write_json

                opened = FeatureSet.open(store.folder(features.key))
                network = store.folder(trained.key) / "model.onnx"
                detector, report = calibrate(dataset, features.data_version, opened, network)
                detector.save(folder / "detector")
                write_json(folder / "report.json", report)
                threshold = detector.description.threshold
                return {
                    "threshold": threshold.value,
                    "method": threshold.method,
                    "guarantee": threshold.guarantee,
                    "warnings": "; ".join(threshold.warnings),
                    "score": " + ".join(detector.description.form),
                    "late": detector.description.late,
                    "normal_windows": report.normal_windows,
                    "anomalous_windows": report.anomalous_windows,
                    "forms_compared_by": report.criterion,
                }

            inputs = (features.data_version, trained.data_version, dataset.calibration)
            artifact = produce(store, dataset, "calibrated", inputs, work)
            if artifact.facts.get("warnings"):
                context.log.warning(f"threshold: {artifact.facts['warnings']}")
            report = CalibrationReport.model_validate_json((store.folder(artifact.key) / "report.json").read_text())
            forms = [{**form.model_dump(), "form": " + ".join(form.form)} for form in report.forms]
            return result(artifact, store, metadata={"forms on calibration windows": table(forms)})

    return calibrated
