"""Windows per second and memory on this machine: ``python -m benchmarks.throughput`` (``make bench``).

Scoring is measured against ONNX Runtime alone: the same session, the same batch size, windows already cut. Both run in
alternation for several rounds and the ratio is the median over rounds, so that a busy machine disturbs both alike.
Nothing is downloaded: the dataset is ``sample_turbofan``, made here, and engines of `benchmarks.engines`.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from benchmarks.engines import TEST_ENGINES, TRAIN_ENGINES, write_engines
from benchmarks.line import run_line
from benchmarks.memory import STEPS, columns_of, measured, network
from benchmarks.report import machine, markdown_table, write_section
from vae_pipeline.catalog import dataset as catalogue_entry
from vae_pipeline.detector import session as session_module
from vae_pipeline.detector.windows import WindowDetector
from vae_pipeline.features.windows import Windows
from vae_pipeline.records import Dataset, Training

__all__ = ["Paired", "batch_sizes", "main", "memory_table", "paired", "scoring_table"]

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
SIZES = (32, 64, 128, 256, 512, 1024, 2048, 4096)
FOLDS = (1, 10, 100)


@dataclass(frozen=True)
class Paired:
    """Medians of two things that ran in alternation.

    Attributes:
        first, second: seconds.
        ratio: first / second, the median over rounds.
    """

    first: float
    second: float
    ratio: float


def paired(
    first: Callable[[], object],
    second: Callable[[], object],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Paired:
    """Time both in every round, in changing order, after one round that does not count."""
    seconds = np.empty((rounds, 2))
    calls = (first, second)
    for call in calls:
        call()
    for number in range(rounds):
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            began = clock()
            calls[which]()
            seconds[number, which] = clock() - began
    return Paired(*np.median(seconds, axis=0).tolist(), ratio=float(np.median(seconds[:, 0] / seconds[:, 1])))


def scoring_table(detector: WindowDetector, windows: Windows, columns: dict[str, np.ndarray], rounds: int) -> str:
    """`WindowDetector.score_scaled` and `WindowDetector.score_table` beside ONNX Runtime alone over the same windows.

    Processor time leaves out what other processes take, and counts all threads.
    """
    batches = list(windows.batches(session_module.BATCH))

    def alone() -> None:
        for batch in batches:
            detector.session.observe(batch)

    count = len(windows)
    calls: dict[str, Callable[[], object]] = {
        "score_scaled": lambda: detector.score_scaled(windows),
        "score_table": lambda: detector.score_table(columns),
    }
    rows = []
    for name, call in calls.items():
        wall, processor = paired(alone, call, rounds), paired(alone, call, rounds, time.process_time)
        speeds = [f"{count / wall.second:,.0f}", f"{count / wall.first:,.0f}"]
        rows.append([f"`WindowDetector.{name}`", *speeds, f"{wall.ratio:.2f}", f"{processor.ratio:.2f}"])
    header = ["scoring", "windows/s", "ONNX Runtime alone", "ratio", "ratio by processor time"]
    return markdown_table(header, rows)


def batch_sizes(windows: Windows, run: Callable[[np.ndarray], object], sizes: Sequence[int], rounds: int) -> str:
    """Median windows a second by batch size, by the wall clock and by processor time, sizes in alternation."""
    wall, processor = np.empty((rounds, len(sizes))), np.empty((rounds, len(sizes)))
    for number in range(rounds):
        for index, size in enumerate(sizes):
            batches = list(windows.batches(size))
            began, used = time.perf_counter(), time.process_time()
            for batch in batches:
                run(batch)
            wall[number, index], processor[number, index] = time.perf_counter() - began, time.process_time() - used
    rows = [
        [str(size), f"{len(windows) / seconds:,.0f}", f"{len(windows) / busy:,.0f}"]
        for size, seconds, busy in zip(sizes, np.median(wall, axis=0), np.median(processor, axis=0), strict=True)
    ]
    return markdown_table(["windows a call", "windows/s", "windows per processor second"], rows)


def small_network(detector: WindowDetector, entry: Dataset, path: Path) -> WindowDetector:
    """The detector around an untrained network of the encoder mlp: its scores mean nothing, its speed does."""
    network(entry.model_copy(update={"training": entry.training.model_copy(update={"encoder": "mlp"})}), path)
    session = session_module.NetworkSession(path)
    return WindowDetector(detector.description, detector.scaler, detector.scorer, session, detector.reference)


def memory_table(entry: Dataset, folder: Path, folds: Sequence[int], told: Callable[[str], None]) -> str:
    """Peak memory of every step against the number of engines, each in a fresh process."""
    small = entry.training.model_copy(update={"encoder": "mlp", "hidden": (32,), "epochs": 1})
    entry = entry.model_copy(update={"training": small})
    peaks: dict[str, list[str]] = {step: [] for step in STEPS}
    header = ["peak MiB: resident / anonymous"]
    for count in folds:
        place = folder / f"engines_{count}"
        (place / "raw").mkdir(parents=True)
        (place / "dataset.json").write_text(entry.model_dump_json())
        rows = write_engines(entry, place / "raw", count)
        network(entry, place / "model.onnx")
        header.append(f"{(TRAIN_ENGINES + TEST_ENGINES) * count:,} engines, {rows:,} rows")
        for step in STEPS:
            told(f"memory: {step}, {count}-fold")
            found = measured(step, place)
            peaks[step].append(f"{found['resident']:.0f} / {found['anonymous']:.0f}")
    return markdown_table(header, [[step, *found] for step, found in peaks.items()])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; with ``--write`` keep the tables in docs/benchmarks.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description="Throughput and memory.")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of every comparison")
    parser.add_argument("--epochs", type=int, default=3, help="epochs of the training that is timed")
    parser.add_argument("--folds", type=int, nargs="*", default=FOLDS, help="memory: engines in sixties; none: skip")
    parser.add_argument("--write", action="store_true", help="replace the tables of docs/benchmarks.md")
    options = parser.parse_args(arguments)

    def told(text: str) -> None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ.setdefault("VAE_PIPELINE_HOME", str(folder / "home"))
        entry = catalogue_entry("sample_turbofan", "timeseries", ())
        short = entry.model_copy(update={"training": entry.training.model_copy(update={"epochs": options.epochs})})
        told("training sample_turbofan")
        trained = run_line(short, folder / "line")
        told("scoring")
        test = trained.features.windows("test")
        columns = columns_of(folder / "line" / "raw" / "test.parquet")
        scoring = scoring_table(trained.detector, test, columns, options.rounds)
        lean = small_network(trained.detector, entry, folder / "small.onnx")
        small = scoring_table(lean, test, columns, options.rounds)
        told("batch sizes")
        sizes = batch_sizes(test, trained.detector.session.observe, SIZES, min(options.rounds, 5))
        memory = memory_table(entry, folder, options.folds, told) if options.folds else ""
    threads = os.environ.get("VAE_PIPELINE_THREADS")
    variable = f"VAE_PIPELINE_THREADS={threads} " if threads else ""
    load = f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    command = f"{variable}python -m benchmarks.throughput --rounds {options.rounds} --epochs {options.epochs}"
    conditions = f"on {machine()}{load}.\n\n"
    encoder = cast("Training", entry.training).encoder
    speed = (
        f"`{command} --folds` {conditions}"
        f"Training, {options.epochs} epochs, with everything around it: {trained.windows_per_second:,.0f} windows/s "
        f"(windows of {test.channels} channels and {test.length} rows, encoder {encoder}).\n\n"
        f"Scoring {len(test):,} windows, {session_module.BATCH} a call:\n\n{scoring}\n\n"
        f"The same with the encoder mlp, a network so small that everything around it shows:\n\n{small}\n\n"
        f"The network alone by windows a call:\n\n{sizes}\n"
    )
    folds = " ".join(str(count) for count in options.folds)
    memory = f"`{command} --folds {folds}` {conditions}{memory}\n" if options.folds else ""
    sys.stdout.write(speed + "\n" + memory)
    if options.write:
        write_section(PAGE, "throughput", speed)
        if memory:
            write_section(PAGE, "memory", memory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
