"""validated: whether the raw data are fit to use; a critical failure blocks everything downstream."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from vae_pipeline.artifacts import produce
from vae_pipeline.defs.failures import told_to_dagster
from vae_pipeline.defs.metadata import table
from vae_pipeline.defs.partitions import dataset_of
from vae_pipeline.defs.resources import StorageResource
from vae_pipeline.defs.stages.stage import result, stage_asset, stated, upstream
from vae_pipeline.records import Artifact, Dataset, Line, Medium
from vae_pipeline.settings import has_gpu, image_side
from vae_pipeline.validation.statements import statements_of

__all__ = ["validated_asset"]

_JUDGED = {"columns", "labels", "window", "split", "published", "ranges", "kind"}
_JUDGED_MORE: dict[Medium, set[str]] = {"table": set(), "sound": {"sound"}, "image": {"imaging"}}


def validated_asset(line: Line) -> dg.AssetsDefinition:
    """Great Expectations suites over the raw data; every statement is an asset check."""
    checks = [dg.AssetCheckSpec(name, asset=[line, "validated"], blocking=True) for name in statements_of(line)]

    @stage_asset(line, "validated", {"greatexpectations"}, ins=upstream(line, "raw"), check_specs=checks)
    def validated(context: dg.AssetExecutionContext, storage: StorageResource, raw: Artifact) -> dg.MaterializeResult:
        """The verdict on the raw data, with a readable report."""
        from vae_pipeline.validation.validate import validate
        from vae_pipeline.validation.verdict import Verdict

        with told_to_dagster():
            dataset, store = dataset_of(context, line), storage.open()
            inputs = (raw.data_version, _judged(dataset))

            def work(folder: Any) -> dict[str, Any]:
                verdict = validate(dataset, store.folder(raw.key), folder)
                failed = verdict.failed()
                return {
                    "success": verdict.success,
                    "statements": len(verdict.expectations),
                    "critical_failures": len(verdict.failed("critical")),
                    "failures": len(failed),
                }

            artifact = produce(store, dataset, "validated", inputs, work)
            folder = store.folder(artifact.key)
            verdict = Verdict.model_validate_json((folder / "verdict.json").read_text())
            for outcome in verdict.failed():
                told = f"{outcome.name} fails in {outcome.part}: {outcome.example or outcome.observed}"
                (context.log.error if outcome.severity == "critical" else context.log.warning)(told)
            report = folder / "report.html"
            shown = table([outcome.model_dump() for outcome in verdict.expectations])
            return result(
                artifact,
                store,
                metadata={"report": dg.MetadataValue.url(report.as_uri()), "outcomes": shown},
                check_results=list(_check_results(line, verdict)),
            )

    return validated


def _check_results(line: Line, verdict: Any) -> Iterator[dg.AssetCheckResult]:
    """One result a statement, over both parts; a warning does not block."""
    for name in statements_of(line):
        outcomes = [outcome for outcome in verdict.expectations if outcome.name == name]
        failed = [outcome for outcome in outcomes if not outcome.success]
        critical = any(outcome.severity == "critical" for outcome in failed)
        told = "; ".join(f"{outcome.part}: {outcome.example or outcome.observed}" for outcome in failed or outcomes)
        yield dg.AssetCheckResult(
            check_name=name,
            passed=not failed,
            severity=dg.AssetCheckSeverity.ERROR if critical else dg.AssetCheckSeverity.WARN,
            description=told or "does not apply to this dataset",
        )


def _judged(dataset: Dataset) -> dict[str, Any]:
    """The settings that decide a verdict; that of the training size without a GPU is left out, as it always was."""
    settings = stated(dataset, _JUDGED | _JUDGED_MORE[dataset.medium])
    if dataset.medium == "image" and has_gpu():
        settings["size"] = image_side(dataset.imaging.size)
    return settings
