"""drift_report: a day of served predictions beside the normal samples that the champion was calibrated on."""

from typing import Any, Optional

import dagster as dg
from pydantic import Field

from vae_pipeline.defs.failures import RETRY, told_to_dagster
from vae_pipeline.defs.metadata import picture, table
from vae_pipeline.defs.partitions import line_partitions
from vae_pipeline.defs.resources import MlflowResource, StorageResource
from vae_pipeline.records import Line

__all__ = ["CHECK", "DriftConfig", "drift_report_asset"]

CHECK = "no_drift"


class DriftConfig(dg.Config):
    """Which days are compared."""

    day: Optional[str] = Field(  # noqa: UP045 - Dagster reads it
        default=None, description="ISO date in UTC, such as 2026-03-01; yesterday when left out"
    )
    until: Optional[str] = Field(  # noqa: UP045
        default=None, description="last day where several are compared together; that day alone when left out"
    )


def drift_report_asset(line: Line) -> dg.AssetsDefinition:
    """Judges the log of a day and keeps the report; drift is a warning, what to do about it is decided elsewhere."""
    key = dg.AssetKey([line, "drift_report"])

    @dg.asset(
        key=key,
        group_name=line,
        partitions_def=line_partitions(line),
        deps=[dg.AssetKey([line, "promoted"])],
        kinds={"evidently"},
        description="Whether what was served on a day still looks like what the champion was calibrated on.",
        check_specs=[
            dg.AssetCheckSpec(CHECK, asset=key, description="the day's predictions are like the reference, or too few")
        ],
        retry_policy=RETRY,
    )
    def drift_report(
        context: dg.AssetExecutionContext, config: DriftConfig, storage: StorageResource, mlflow: MlflowResource
    ) -> dg.MaterializeResult:
        with told_to_dagster():
            from vae_pipeline.detector.detector import Detector
            from vae_pipeline.drift import daily, report
            from vae_pipeline.drift.day import Span

            store, shelf = storage.open(), mlflow.shelf
            champion = shelf.champion(f"{line}-{context.partition_key}")
            detector = Detector.load(shelf.detector_folder(champion.name, champion.version))
            kept, drift = daily.drift_report(store, detector, champion.version, Span.of(config.day, config.until))
            folder = store.folder(kept)
        for note in drift.notes:
            context.log.warning(note)
        context.log.info(f"{drift.verdict}: {drift.reason}")
        metadata: dict[str, Any] = {
            "picture": picture(folder / report.PICTURE),
            "statistics": table([statistic.model_dump() for statistic in drift.statistics]),
            "families": table([family.model_dump() for family in drift.families]),
            "features": table([feature.model_dump() for feature in drift.features]),
            "verdict": drift.verdict,
            "reason": drift.reason,
            "drifted": drift.drifted,
            "samples": drift.rows,
            "judged": drift.judged,
            "units": drift.units,
            "day": drift.day,
            "until": drift.until,
            "model": champion.name,
            "version": champion.version,
            "report": kept,
            "folder": dg.MetadataValue.path(str(folder)),
        }
        if drift.p_value is not None:
            metadata["p_value"] = drift.p_value
        if (folder / report.HTML).exists():
            metadata["page"] = dg.MetadataValue.url((folder / report.HTML).as_uri())
        check = dg.AssetCheckResult(
            check_name=CHECK,
            passed=not drift.drifted,
            severity=dg.AssetCheckSeverity.WARN,
            description=drift.reason,
            metadata={"verdict": drift.verdict, "day": drift.day},
        )
        return dg.MaterializeResult(metadata=metadata, check_results=[check])

    return drift_report
