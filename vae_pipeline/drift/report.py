"""A judgement as files: ``drift.json``, ``drift.png``, and Evidently's report of the same samples.

Evidently describes and does not decide: its columns are marked by how far they moved, with method and threshold fixed,
since its defaults change with the number of rows. The verdict is that of ``drift.json``.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vae_pipeline.drift.figures import picture_of
from vae_pipeline.drift.judge import Judgement
from vae_pipeline.drift.record import Drift
from vae_pipeline.errors import StorageError
from vae_pipeline.storage import write_bytes, write_json

if TYPE_CHECKING:
    from evidently.core.report import Snapshot

__all__ = [
    "HTML",
    "METHOD",
    "PICTURE",
    "RECORD",
    "SNAPSHOT",
    "THRESHOLD",
    "add_to_workspace",
    "snapshot_of",
    "write_report",
]

RECORD = "drift.json"
PICTURE = "drift.png"
HTML = "report.html"
JSON = "report.json"
SNAPSHOT = "snapshot.json"
"""What Evidently's own UI reads."""

METHOD = "wasserstein"
THRESHOLD = 0.3
"""Distance in sds of the reference from which Evidently's report marks a column: an effect, not a test."""

SHARE = 0.5
"""Share of marked columns from which Evidently's report speaks of a drifted set."""


def write_report(folder: Path, judgement: Judgement, threshold: float) -> None:
    """Write everything there is to say of a judgement into ``folder``.

    Args:
        folder: holds nothing yet.
        judgement: of a day; Evidently's files are left out where there were too few samples.
        threshold: of the detector's scores, shown in the picture.
    """
    write_json(folder / RECORD, judgement.drift)
    write_bytes(folder / PICTURE, picture_of(judgement, threshold))
    if judgement.drift.verdict == "too_few":
        return
    snapshot = snapshot_of(judgement)
    snapshot.save_html(str(folder / HTML))
    write_bytes(folder / JSON, snapshot.json().encode())
    write_bytes(folder / SNAPSHOT, snapshot.dumps().encode())


def snapshot_of(judgement: Judgement, method: str | None = METHOD, threshold: float | None = THRESHOLD) -> "Snapshot":
    """Evidently's report of scores, latents and inputs.

    Args:
        judgement: whose samples are described.
        method: of every column; None for Evidently's own choice, which depends on the number of rows.
        threshold: from which a column is marked; None for that of the method.
    """
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import DriftedColumnsCount, ValueDrift

    drift = judgement.drift
    reference, current = (_frame(side, judgement) for side in (judgement.reference, judgement.current))
    columns = list(reference.columns)
    definition = DataDefinition(numerical_columns=columns)
    counted = DriftedColumnsCount(columns=columns, drift_share=SHARE, num_method=method, num_threshold=threshold)
    each = [ValueDrift(column=name, method=method, threshold=threshold) for name in columns]
    report = Report([counted, *each], include_tests=True, metadata={"verdict": drift.verdict, "reason": drift.reason})
    found = report.run(
        Dataset.from_pandas(current, data_definition=definition),
        Dataset.from_pandas(reference, data_definition=definition),
    )
    days = drift.day if drift.day == drift.until else f"{drift.day} to {drift.until}"
    found.set_name(f"{drift.dataset} version {drift.version}, {days}, {drift.rows:,} rows: {drift.verdict}")
    return found


def add_to_workspace(workspace: Path, reports: Iterable[Path]) -> int:
    """Put reports into a workspace of Evidently's UI, a project a dataset; gives how many were new.

    Args:
        workspace: a folder, made where there is none; ``evidently ui --workspace`` opens it.
        reports: folders that `write_report` filled; those without a snapshot are passed over, as are known ones.

    Raises:
        StorageError: a report cannot be read; the message names it.
    """
    from evidently.core.report import Snapshot
    from evidently.ui.workspace import Workspace

    workspace.mkdir(parents=True, exist_ok=True)
    opened = Workspace.create(str(workspace))
    projects: dict[str, Any] = {project.name: project for project in opened.list_projects()}
    runs = [opened.get_run(project.id, run) for project in projects.values() for run in opened.list_runs(project.id)]
    known = {run.name for run in runs if run is not None}
    added = 0
    for folder in reports:
        if not (folder / SNAPSHOT).is_file():
            continue
        try:
            drift = Drift.model_validate_json((folder / RECORD).read_text())
            snapshot = Snapshot.loads((folder / SNAPSHOT).read_text())
        except (OSError, ValueError) as error:
            msg = f"{folder}: is no drift report ({error}); materialize drift_report of that day again"
            raise StorageError(msg) from error
        if snapshot.get_name() in known:
            continue
        name = f"{drift.line} {drift.dataset}"
        if name not in projects:
            projects[name] = opened.create_project(name)
        opened.add_run(projects[name].id, snapshot)
        added += 1
    return added


def _frame(side: Any, judgement: Judgement) -> Any:
    """The columns of one side as a data frame: the score, and what was compared of latents and inputs."""
    import pandas as pd

    columns: dict[str, np.ndarray] = {"score": side.scores}
    families = {family.name for family in judgement.drift.families}
    for family, names, values in (
        ("latents", judgement.names.latents, side.latents),
        ("features", judgement.names.inputs, side.inputs),
    ):
        if family in families and values is not None:
            columns |= {name: values[:, place] for place, name in enumerate(names)}
    return pd.DataFrame(columns)
