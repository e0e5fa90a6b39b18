"""How long one explanation takes with the detector alone, on one core.

``VAE_PIPELINE_THREADS=1 taskset -c 0 python -m benchmarks.explanation_speed FD001 bottle --home FOLDER``, with the
``--home`` that `benchmarks.root_cause` kept. Windows are cut from rows, images decoded from their files. Processor time
leaves out what other processes take.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from benchmarks.report import machine, markdown_table, write_section
from benchmarks.root_cause import PAGE, entry_of, prepared
from vae_pipeline.detector.calibrate import calibrate
from vae_pipeline.detector.explained_windows import Named
from vae_pipeline.features.feature_set import FeatureSet
from vae_pipeline.features.windows import evenly

if TYPE_CHECKING:
    from vae_pipeline.detector.images import ImageDetector
    from vae_pipeline.detector.windows import WindowDetector

__all__ = ["main", "measured_times"]

CALLS = 30


def measured_times(calls: list[Callable[[], object]]) -> tuple[float, float, float]:
    """Median and highest wall time and median processor time of the calls after the first, in milliseconds."""
    calls[0]()
    walls, processors = [], []
    for call in calls:
        wall, processor = time.perf_counter(), time.process_time()
        call()
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
    return 1000 * float(np.median(walls)), 1000 * max(walls), 1000 * float(np.median(processors))


def _calls(name: str, home: Path) -> tuple[str, list[Callable[[], object]]]:
    entry = entry_of(name)
    folder = prepared(entry, home)
    made, _ = calibrate(entry, "benchmark", folder / "features", folder / "trained" / "model.onnx")
    if entry.medium == "image":
        detector = cast("ImageDetector", made)
        files = sorted((folder / "raw" / "files" / "test").rglob("*.png"))
        chosen = [files[place] for place in evenly(len(files), CALLS)]
        return "an image file", [lambda file=file: list(detector.explain_pictures([file])) for file in chosen]
    table = cast("WindowDetector", made)
    windows = FeatureSet.open(folder / "features").windows("test").evenly(CALLS)
    return (
        f"a window, {windows.channels} sensors",
        [
            lambda place=place: table.explain_scaled(windows.subset(np.array([place])), [Named("")])
            for place in range(len(windows))
        ],
    )


def main() -> None:
    """Print the table, and with ``--write`` put it into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    rows = []
    for name in options.datasets:
        what, calls = _calls(name, options.home)
        median, highest, processor = measured_times(calls)
        rows.append([name, what, f"{median:.0f} ms", f"{highest:.0f} ms", f"{processor:.0f} ms"])
    header = ["dataset", "one explanation of", "median", "longest", "processor time"]
    text = f"{machine()}, one of them used.\n\n{markdown_table(header, rows)}"
    print(text)
    if options.write:
        write_section(PAGE, "explanation speed", text)


if __name__ == "__main__":
    main()
