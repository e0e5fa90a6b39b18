"""Peak memory of one step in a process of its own: ``python -m benchmarks.memory STEP FOLDER`` prints it as JSON.

Two peaks are told apart. ``resident`` is what the kernel keeps as the process's high-water mark (``VmHWM``); it counts
pages of memory-mapped files, which the kernel takes back whenever it needs room. ``anonymous`` is memory nobody can
take back (``RssAnon``), sampled every 2 ms; only that can make a machine run out.
"""

import contextlib
import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from vae_pipeline.records import Dataset, Training

if TYPE_CHECKING:
    from vae_pipeline.detector.windows import WindowDetector

__all__ = ["STEPS", "Peaks", "columns_of", "measured", "network", "run_step", "watched"]

PROJECT = Path(__file__).resolve().parent.parent
_STATUS = Path("/proc/self/status")
_EVERY = 0.002


@dataclass
class Peaks:
    """Peaks in MiB; ``anonymous`` is nan where the system does not tell."""

    resident: float = float("nan")
    anonymous: float = float("nan")
    samples: list[float] = field(default_factory=list, repr=False)


def _status(name: str) -> float:
    """A figure of ``/proc/self/status`` in MiB, nan where there is none."""
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith(name + ":"):
                return float(line.split()[1]) / 1024.0
    return float("nan")


def _resident() -> float:
    """The process's peak resident memory in MiB.

    ``ru_maxrss`` may count the parent's pages from before ``exec``, so the kernel's own mark goes first.
    """
    known = _status("VmHWM")
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return known if np.isfinite(known) else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


@contextlib.contextmanager
def watched() -> Iterator[Peaks]:
    """Peaks of what runs inside; they are there once it has ended."""
    peaks, over = Peaks(), threading.Event()

    def watch() -> None:
        while not over.wait(_EVERY):
            peaks.samples.append(_status("RssAnon"))

    peaks.samples.append(_status("RssAnon"))
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        over.set()
        thread.join()
        peaks.samples.append(_status("RssAnon"))
        peaks.anonymous, peaks.resident = max(peaks.samples), _resident()


def network(dataset: Dataset, path: Path) -> None:
    """Export an untrained network of the dataset's shape: memory does not depend on weights."""
    from vae_pipeline.models.export import export_onnx
    from vae_pipeline.models.timeseries.network import NetworkShape, TimeSeriesVAE

    training, channels = cast("Training", dataset.training), len(dataset.columns.sensors or ())
    export_onnx(TimeSeriesVAE(NetworkShape.of(training, channels, dataset.window.length)), path)


def _dataset(folder: Path) -> Dataset:
    return Dataset.model_validate_json((folder / "dataset.json").read_text())


def _detector(folder: Path) -> "WindowDetector":
    from vae_pipeline.detector.detector import Detector

    return cast("WindowDetector", Detector.load(folder / "detector"))


def _start(_: Path) -> None:
    import vae_pipeline.detector.calibrate
    import vae_pipeline.features.build  # noqa: F401


def _build(folder: Path) -> None:
    from vae_pipeline.features.build import build

    (folder / "features").mkdir(exist_ok=True)
    build(_dataset(folder), folder / "raw", folder / "features")


def _train(folder: Path) -> None:
    from vae_pipeline.features.feature_set import FeatureSet
    from vae_pipeline.models.holdout import hold_out
    from vae_pipeline.models.timeseries.fit import fit

    features = FeatureSet.open(folder / "features")
    normal = features.windows("fit", healthy_only=True)
    windows, steering = hold_out(normal, features.units(normal))
    (folder / "trained").mkdir(exist_ok=True)
    fit(windows, steering, cast("Training", _dataset(folder).training), folder / "trained")


def _calibrate(folder: Path) -> None:
    from vae_pipeline.detector.window_calibration import calibrate_windows
    from vae_pipeline.features.feature_set import FeatureSet

    detector, _ = calibrate_windows(
        _dataset(folder), "memory", FeatureSet.open(folder / "features"), folder / "model.onnx"
    )
    detector.save(folder / "detector")


def _score(folder: Path) -> None:
    from vae_pipeline.features.feature_set import FeatureSet

    _detector(folder).score_scaled(FeatureSet.open(folder / "features").windows("test"))


def columns_of(file: Path) -> dict[str, np.ndarray]:
    """Columns of a raw table, without the answer, the way a caller holds them."""
    import pyarrow.parquet as pq

    from vae_pipeline.features.arrow import to_numpy

    with pq.ParquetFile(file) as table:
        columns = {}
        for name in table.schema_arrow.names:
            column = table.read(columns=[name]).column(0).combine_chunks()
            if name == "unit":
                columns[name] = np.array(column.to_pylist())
            elif name not in ("remaining_life", "label"):
                columns[name] = to_numpy(column)
    return columns


def _read_table(folder: Path) -> dict[str, np.ndarray]:
    import vae_pipeline.detector.detector  # noqa: F401

    return columns_of(folder / "raw" / "test.parquet")


def _score_table(folder: Path) -> None:
    _detector(folder).score_table(_read_table(folder))


STEPS: dict[str, Callable[[Path], object]] = {
    "start": _start,
    "build": _build,
    "train": _train,
    "calibrate": _calibrate,
    "score": _score,
    "table in memory": _read_table,
    "score_table": _score_table,
}
"""What can be measured, in the order in which one needs the other's output."""


def measured(step: str, folder: Path, module: str = "benchmarks.memory") -> dict[str, float]:
    """Peaks of one step of ``module``, MiB, from a fresh process.

    Raises:
        RuntimeError: the step failed; the message ends with what it wrote last.
    """
    ran = subprocess.run(  # noqa: S603 -- a module of this package
        [sys.executable, "-m", module, step, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=PROJECT,
        env=os.environ | {"TQDM_DISABLE": "1"},
    )
    if ran.returncode:
        msg = f"{step} failed: {ran.stderr[-2000:]}"
        raise RuntimeError(msg)
    return json.loads(ran.stdout.splitlines()[-1])


def run_step(steps: Mapping[str, Callable[[Path], object]], arguments: Sequence[str]) -> int:
    """Run the step that the arguments name on the folder they name, and print its peaks."""
    step, folder = arguments
    with watched() as peaks:
        steps[step](Path(folder))
    sys.stdout.write(json.dumps({"resident": peaks.resident, "anonymous": peaks.anonymous}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(run_step(STEPS, sys.argv[1:]))
