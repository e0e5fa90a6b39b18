"""Images per second and memory against the number of images: ``python -m benchmarks.images [--images 200 20000]``.

Nothing is downloaded: the pictures are those of `benchmarks.pictures`. Scoring is measured against ONNX Runtime alone
over the same images, already decoded and at the network's size, as `benchmarks.throughput` does it for windows.
Training runs on a GPU where there is one, scoring on the processor, as a service does it.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from benchmarks.memory import measured
from benchmarks.pictures import PIXELS, STEPS, files_to_score, image_entry, image_network, write_pictures
from benchmarks.report import machine, markdown_table, write_section
from benchmarks.throughput import PAGE, paired
from vae_pipeline.records import Dataset, ImageTraining

if TYPE_CHECKING:
    from vae_pipeline.detector.images import ImageDetector
    from vae_pipeline.features.image_set import ImageSet

__all__ = ["device", "main", "memory_table", "scoring_table", "training_speed"]

IMAGES = (200, 20_000)
WORKERS = (0, 2)
SPEED_IMAGES = 320
"""For throughput; a fifth of them is scored."""

SMALL = {"width": 4, "latent": 16}
"""The network whose memory is measured: its own share is the same whatever the number of images."""


def device() -> str:
    """What training runs on."""
    import torch

    return f"{torch.cuda.get_device_name(0)} (CUDA)" if torch.cuda.is_available() else "the processor"


def training_speed(entry: Dataset, images: "ImageSet", workers: int, epochs: int, folder: Path) -> float:
    """Images per second from the end of the first epoch to that of the last, steering and reports included."""
    from vae_pipeline.models.holdout import hold_out_images
    from vae_pipeline.models.vision.fit import fit

    training = cast("ImageTraining", entry.training)
    training = training.model_copy(update={"workers": workers, "epochs": epochs, "patience": epochs})
    index, steering = hold_out_images(images.index("fit"))
    ended: list[float] = []
    folder.mkdir()
    fit(images.pixels, index, steering, training, folder, report=lambda *_: ended.append(time.perf_counter()))
    return training.images_per_epoch * (epochs - 1) / (ended[-1] - ended[0])


def scoring_table(detector: "ImageDetector", images: "ImageSet", files: Sequence[Path], rounds: int) -> str:
    """Scoring from files and from cached pixels beside ONNX Runtime alone over the same images.

    Processor time leaves out what other processes take, and counts all threads.
    """
    from vae_pipeline.detector.session import IMAGE_BATCH

    index = images.index("test")
    pixels = np.ascontiguousarray(images.pixels[index])

    def alone() -> None:
        for first in range(0, len(pixels), IMAGE_BATCH):
            detector.session.observe_images(pixels[first : first + IMAGE_BATCH])

    calls: dict[str, Callable[[], object]] = {
        "`score_pictures`: decoding, network, maps at full size": lambda: list(detector.score_pictures(files)),
        "`score_images`: network, maps": lambda: detector.score_images(pixels),
    }
    rows = []
    for name, call in calls.items():
        wall, processor = paired(alone, call, rounds), paired(alone, call, rounds, time.process_time)
        speeds = [f"{len(index) / wall.second:,.0f}", f"{len(index) / wall.first:,.0f}"]
        rows.append([name, *speeds, f"{wall.ratio:.2f}", f"{processor.ratio:.2f}"])
    header = ["scoring with the detector", "images/s", "ONNX Runtime alone", "ratio", "ratio by processor time"]
    return markdown_table(header, rows)


def memory_table(size: int, folder: Path, counts: Sequence[int], told: Callable[[str], None]) -> str:
    """Peak memory of every step against the number of images, each in a fresh process."""
    peaks: dict[str, list[str]] = {step: [] for step in STEPS}
    header = ["peak MiB: resident / anonymous"]
    for count in counts:
        place = folder / f"images_{count}"
        told(f"writing {count:,} pictures")
        write_pictures(place / "pictures", count)
        entry = image_entry(place, size, **SMALL)
        (place / "dataset.json").write_text(entry.model_dump_json())
        image_network(entry, place / "model.onnx")
        header.append(f"{count:,} images")
        for step in STEPS:
            began = time.perf_counter()
            found = measured(step, place, "benchmarks.pictures")
            peaks[step].append(f"{found['resident']:.0f} / {found['anonymous']:.0f}")
            told(f"memory: {step}, {count:,} images: {peaks[step][-1]} MiB, {time.perf_counter() - began:.0f} s")
    return markdown_table(header, [[step, *found] for step, found in peaks.items()])


def speed(options: argparse.Namespace, folder: Path, told: Callable[[str], None]) -> str:
    """Training by workers and scoring beside ONNX Runtime, with the default network."""
    from vae_pipeline.detector.calibrate import calibrate
    from vae_pipeline.features.build import build
    from vae_pipeline.features.image_set import ImageSet
    from vae_pipeline.settings import Settings
    from vae_pipeline.sources.load import load

    write_pictures(folder / "pictures", SPEED_IMAGES)
    entry = image_entry(folder, options.size)
    load(entry, Settings(home=folder), folder / "raw")
    (folder / "features").mkdir()
    build(entry, folder / "raw", folder / "features")
    images = ImageSet.open(folder / "features")
    rows = []
    for number in options.workers:
        told(f"training with {number} workers")
        per_second = training_speed(entry, images, number, options.epochs, folder / f"trained_{number}")
        rows.append([str(number), f"{per_second:,.1f}"])
    told("scoring")
    image_network(entry, folder / "model.onnx")
    detector, _ = calibrate(entry, "benchmark", folder / "features", folder / "model.onnx")
    files = list(files_to_score(folder, images))
    scoring = scoring_table(cast("ImageDetector", detector), images, files, options.rounds)
    training = cast("ImageTraining", entry.training)
    return (
        f"Training at {options.size} px, width {training.width}, {training.images_per_epoch} images an epoch, from the "
        f"second of {options.epochs} epochs on, on {device()}:\n\n{markdown_table(['workers', 'images/s'], rows)}\n\n"
        f"Scoring {len(files)} images on the processor, files of {PIXELS} px:\n\n{scoring}\n"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; with ``--write`` keep the tables in docs/benchmarks.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.images", description="Images: throughput and memory.")
    parser.add_argument("--images", type=int, nargs="*", default=IMAGES, help="memory: how many; none: skip")
    parser.add_argument("--size", type=int, default=PIXELS, help="pixels on a side that the network sees")
    parser.add_argument("--workers", type=int, nargs="*", default=WORKERS, help="of training; none: skip throughput")
    parser.add_argument("--epochs", type=int, default=3, help="epochs of the training that is timed, 2 at least")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of every comparison")
    parser.add_argument("--write", action="store_true", help="replace the tables of docs/benchmarks.md")
    options = parser.parse_args(arguments)
    if options.epochs < 2:
        parser.error("--epochs: the first epoch is not counted, so give 2 at least")

    def told(text: str) -> None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    threads = os.environ.get("VAE_PIPELINE_THREADS")
    variable = f"VAE_PIPELINE_THREADS={threads} " if threads else ""
    load = f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    stated = {name: getattr(options, name) for name in ("images", "size", "workers", "epochs", "rounds")}
    stated = {name: value if isinstance(value, list | tuple) else (value,) for name, value in stated.items()}
    words = [" ".join([f"--{name}", *(str(value) for value in values)]) for name, values in stated.items()]
    sections = [f"`{variable}python -m benchmarks.images {' '.join(words)}` on {machine()}{load}.\n"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.workers:
            (folder / "speed").mkdir()
            sections.append(speed(options, folder / "speed", told))
        if options.images:
            table = memory_table(options.size, folder, options.images, told)
            sections.append(f"Memory, with a network of width {SMALL['width']}:\n\n{table}\n")
    text = "\n".join(sections)
    sys.stdout.write(text)
    if options.write:
        write_section(PAGE, "images", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
