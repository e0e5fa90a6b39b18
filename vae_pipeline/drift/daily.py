"""A day's report, made once and kept in storage: the same log, model and settings give the same folder."""

from pathlib import PurePosixPath
from typing import NamedTuple

from vae_pipeline.detector.detector import Detector
from vae_pipeline.drift.day import Span, read_days
from vae_pipeline.drift.judge import judge
from vae_pipeline.drift.record import Drift
from vae_pipeline.drift.report import RECORD, write_report
from vae_pipeline.records import Line
from vae_pipeline.storage import MANIFEST, Storage, fingerprint

__all__ = ["ROOT", "DriftReport", "drift_report", "judged", "judgement", "kept_reports"]

ROOT = "reports/drift"
"""Below it ``<line>/<dataset>/<day>/<version of the report>/``, and beside these the newest ``drift.json``."""

_DATE = len("2026-03-01")


class DriftReport(NamedTuple):
    """Where a report is kept, and what it says."""

    key: str
    drift: Drift


def drift_report(storage: Storage, detector: Detector, version: int, span: Span) -> DriftReport:
    """Read the log of the span, judge it, and keep the report; a crash leaves no half of one.

    Args:
        storage: holds the log and takes the report.
        detector: the version's own, its reference is what the days are compared with.
        version: of the registered model.
        span: whole days.

    Raises:
        StorageError: the storage cannot be read or written.
    """
    description = detector.description
    log = read_days(storage, description.line, description.dataset, version, span)
    found = judge(detector, version, span, log)
    beside = _beside(description.line, description.dataset, span)
    key = f"{beside}/{fingerprint(found.drift, description.data_version)}"
    if not storage.exists(key):
        with storage.new_folder(key, {"stage": "drift_report", "verdict": found.drift.verdict}) as folder:
            write_report(folder, found, description.threshold.value)
    storage.write_text(f"{beside}/{RECORD}", found.drift.model_dump_json(indent=2) + "\n")
    return DriftReport(key, found.drift)


def judgement(storage: Storage, line: str, dataset: str, name: str) -> Drift | None:
    """What was last said of a span, named as `judged` names it; None where nothing that this version can read was.

    Raises:
        StorageError: the storage cannot be read.
    """
    key = f"{ROOT}/{line}/{dataset}/{name}/{RECORD}"
    if not storage.has_text(key):
        return None
    try:
        return Drift.model_validate_json(storage.read_text(key))
    except ValueError:  # of another version of this package: it decides nothing
        return None


def judged(storage: Storage, line: str, dataset: str) -> list[str]:
    """Names of the spans that were judged, by their last days, the newest first; `judgement` gives each."""
    return sorted(storage.names(f"{ROOT}/{line}/{dataset}"), key=lambda name: (name[-_DATE:], name), reverse=True)


def kept_reports(storage: Storage) -> list[str]:
    """Keys of all reports, in order."""
    paths = (PurePosixPath(held.key) for held in storage.files(ROOT))
    return [str(path.parent) for path in paths if path.name == MANIFEST]


def _beside(line: Line, dataset: str, span: Span) -> str:
    return f"{ROOT}/{line}/{dataset}/{span.name}"
