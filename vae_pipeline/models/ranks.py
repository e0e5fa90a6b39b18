"""A training over several devices: processes of their own, which Lightning starts and which know nothing but the fit.

Lightning begins the further processes of its strategy ``ddp`` by running the program again. That program must be this
module, and not the run of a whole pipeline.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_pipeline.errors import TrainingError
from vae_pipeline.records import Dataset, Record
from vae_pipeline.settings import Settings

if TYPE_CHECKING:
    from vae_pipeline.models.fit import FitResult
    from vae_pipeline.models.train import Told

__all__ = ["fit_in_processes", "is_spread"]

_EPOCH = "epoch "
"""Begins a line on standard output that tells of an epoch."""


class _Job(Record):
    """What the processes fit."""

    dataset: Dataset
    features: Path
    folder: Path
    start: Path | None


def is_spread(settings: Settings) -> bool:
    """Whether a training takes more than one device or a strategy of its own."""
    return settings.devices != 1 or settings.strategy != "auto"


def fit_in_processes(
    dataset: Dataset, features: Path, folder: Path, told: "Told", start: Path | None = None
) -> "FitResult":
    """`vae_pipeline.models.train.fit_here` on the devices of the settings; epochs are told, pictures are not.

    Raises:
        TrainingError: the processes did not come to an end; the message has their last line.
    """
    from vae_pipeline.models.fit import FitResult

    with tempfile.TemporaryDirectory() as scratch, (Path(scratch) / "errors").open("w+") as errors:
        job = Path(scratch) / "job.json"
        job.write_text(_Job(dataset=dataset, features=features, folder=folder, start=start).model_dump_json())
        command = [sys.executable, "-m", "vae_pipeline.models.ranks", str(job)]
        # standard error is a file: a pipe that nobody empties would hold the processes up
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
            for line in process.stdout or ():
                if told.report and line.startswith(_EPOCH):
                    epoch, metrics = json.loads(line.removeprefix(_EPOCH))
                    told.report(epoch, metrics)
        if process.returncode:
            errors.seek(0)
            lines = [line.strip() for line in errors if line.strip()]
            msg = f"the training over several devices ended early: {lines[-1] if lines else process.returncode}"
            raise TrainingError(msg)
        return FitResult.model_validate_json((Path(scratch) / "fitted.json").read_text())


def main(path: Path) -> None:
    """One of the processes; the first writes the folder and tells of the epochs."""
    from vae_pipeline.models.train import Told, fit_here

    job = _Job.model_validate_json(path.read_text())
    # set by Lightning in all processes but the one that began the others
    first = os.environ.get("LOCAL_RANK", "0") == "0"

    def report(epoch: int, metrics: dict[str, float]) -> None:
        if first:
            sys.stdout.write(f"{_EPOCH}{json.dumps([epoch, metrics])}\n")
            sys.stdout.flush()

    with tempfile.TemporaryDirectory() as aside:
        folder = job.folder if first else Path(aside)
        fitted: Any = fit_here(job.dataset, job.features, folder, Told(report=report), job.start)
    if first:
        path.with_name("fitted.json").write_text(fitted.model_dump_json())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
