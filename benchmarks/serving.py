"""Services under load: ``VAE_PIPELINE_HOME=… python -m benchmarks.serving timeseries vision [--write]``.

The champions of a home are packed and served by workers of this package; the load comes from this process, on the same
machine, so both share its cores. What is asked is the example that each model was packed with. The tables stand in
docs/serving.md.
"""

import argparse
import io
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

from benchmarks.load import Load, Outcome, capacity, offered, statuses_told
from benchmarks.report import machine, markdown_table, write_section
from vae_pipeline.detector.detector import Detector
from vae_pipeline.detector.images import ImageDetector
from vae_pipeline.detector.packed import PackedModel
from vae_pipeline.detector.pair_session import PAIR_BATCH
from vae_pipeline.detector.pairs import PairDetector
from vae_pipeline.detector.session import BATCH as BATCH_WINDOWS
from vae_pipeline.detector.session import IMAGE_BATCH
from vae_pipeline.environment import prepare_environment
from vae_pipeline.packing.pack import PackedBento, model_folder, pack
from vae_pipeline.packing.supervisor import Supervisor
from vae_pipeline.records import Line
from vae_pipeline.registry.shelf import Shelf
from vae_pipeline.registry.tracking import Tracker
from vae_pipeline.serving.served import Served
from vae_pipeline.serving.settings import load_service_settings
from vae_pipeline.settings import load_settings

__all__ = ["main"]

PAGE = Path(__file__).resolve().parent.parent / "docs" / "serving.md"
BATCH = 100


class Scenario(NamedTuple):
    """A load of one model: what a request holds, how many samples, how many a second."""

    model: str
    asked: str
    body: bytes
    content_type: str
    samples: int
    rate: float


def scenarios(packed: PackedBento, model: PackedModel) -> list[Scenario]:
    """What one model is asked."""
    folder = model_folder(packed, model)
    example = model.example
    if example is None:
        return []
    content = (folder / "example" / example.file).read_bytes()
    kind = example.content_type
    if model.medium != "table":
        rate = {"sound": 20.0, "image": 100.0, "pair": 50.0}[model.medium]
        return [Scenario(model.dataset, f"one {model.medium}", content, kind, 1, rate)]
    served = Served.open(folder, load_service_settings())
    inputs, length = served.detector.description.inputs, served.detector.description.window
    rows = [line.split(",") for line in content.decode().splitlines()]
    window = np.array([[float(row[rows[0].index(name)]) for row in rows[1 : length + 1]] for name in inputs])
    npy = io.BytesIO()
    np.save(npy, np.repeat(window[None], BATCH, axis=0).astype(np.float32))
    many = json.dumps({"windows": [window.tolist()] * BATCH}).encode()
    one = json.dumps({"windows": [window.tolist()]}).encode()
    return [
        Scenario(model.dataset, "one window, JSON", one, "application/json", 1, 300.0),
        Scenario(model.dataset, f"{BATCH} windows, JSON", many, "application/json", BATCH, 12.0),
        Scenario(model.dataset, f"{BATCH} windows, npy", npy.getvalue(), "application/x-npy", BATCH, 15.0),
    ]


@contextmanager
def served(packed: PackedBento, workers: int, variables: Mapping[str, str] | None = None) -> Iterator[Supervisor]:
    """The Bento's service, while the block lasts."""
    supervisor = Supervisor(load_settings(), "127.0.0.1", 0, workers, variables=variables)
    try:
        supervisor.serve(packed.tag, packed.path)
        yield supervisor
    finally:
        supervisor.close()


def memory(supervisor: Supervisor) -> float:
    """Megabytes of all workers."""
    return sum(psutil.Process(pid).memory_info().rss for pid in supervisor.processes) / 1e6


def steady(packed: PackedBento, workers: int, seconds: float) -> list[list[str]]:
    """A row for every scenario of every model."""
    rows = []
    with served(packed, workers) as supervisor:
        for model in packed.models:
            for scenario in scenarios(packed, model):
                found = offered(_load(scenario, supervisor.port, scenario.rate, seconds))
                rows.append(
                    [
                        scenario.model,
                        scenario.asked,
                        f"{scenario.rate:,.0f}",
                        f"{found.statuses['200'] * scenario.samples / found.seconds:,.0f}",
                        *(f"{found.percentile(share):.1f} ms" for share in (0.5, 0.95, 0.99)),
                        statuses_told(found.statuses),
                        f"{memory(supervisor):,.0f} MB",
                    ]
                )
                print(rows[-1], flush=True)
    return rows


def overload(packed: PackedBento, workers: int, seconds: float) -> list[list[str]]:
    """The first scenario of the first model at twice what the service can do, and how it is afterwards."""
    scenario = scenarios(packed, packed.models[0])[0]
    rows = []
    with served(packed, workers) as supervisor:

        def row(name: str, rate: float, found: Outcome) -> None:
            rows.append(
                [
                    name,
                    f"{rate:,.0f}",
                    f"{found.statuses['200'] / found.seconds:,.0f}",
                    f"{found.percentile(0.95):,.0f} ms",
                    statuses_told(found.statuses),
                    f"{memory(supervisor):,.0f} MB",
                ]
            )
            print(rows[-1], flush=True)

        most = capacity(_load(scenario, supervisor.port, scenario.rate, 5.0))
        usual = min(scenario.rate, 0.5 * most)
        for name, rate, lasting in (
            ("before", usual, 10.0),
            (f"twice the capacity of {most:,.0f}", 2 * most, seconds),
            ("after", usual, 10.0),
        ):
            row(f"{scenario.model}, {name}", rate, offered(_load(scenario, supervisor.port, rate, lasting)))
    return rows


def grid(packed: PackedBento, seconds: float) -> list[list[str]]:
    """The first scenario of the first model with one or two processes, and one or two batches at once in each."""
    scenario = scenarios(packed, packed.models[0])[0]
    rows = []
    for workers in (1, 2):
        for threads in (1, 2):
            with served(packed, workers, {"VAE_PIPELINE_SERVICE_THREADS": str(threads)}) as supervisor:
                load = _load(scenario, supervisor.port, scenario.rate, seconds)
                offered(_load(scenario, supervisor.port, scenario.rate, 2.0))
                found, most = offered(load), capacity(_load(scenario, supervisor.port, scenario.rate, 5.0))
                rows.append(
                    [
                        f"{scenario.model}, {scenario.asked}",
                        f"{workers}",
                        f"{threads}",
                        f"{scenario.rate:,.0f}",
                        f"{found.percentile(0.95):.1f} ms",
                        f"{found.percentile(0.99):.1f} ms",
                        f"{most:,.0f}",
                        f"{memory(supervisor):,.0f} MB",
                    ]
                )
                print(rows[-1], flush=True)
    return rows


def beside_bare(packed: PackedBento, workers: int, rounds: int) -> list[list[str]]:
    """Samples a second of the service, asked by 32 clients at once, beside ONNX Runtime alone in as many processes.

    The service also reads HTTP and the body, decodes, scores, decides and logs. Both are measured in turn.
    """
    rows = []
    with served(packed, workers) as supervisor, get_context("spawn").Pool(workers) as pool:
        for model in packed.models:
            for scenario in scenarios(packed, model):
                load = _load(scenario, supervisor.port, scenario.rate, 5.0)
                folder = model_folder(packed, model)
                found = np.array(
                    [
                        (
                            capacity(load) * scenario.samples,
                            sum(pool.starmap(bare, [(folder, 5.0)] * workers, chunksize=1)),
                        )
                        for _ in range(rounds)
                    ]
                )
                ours, alone = np.median(found, axis=0).tolist()
                ratio = float(np.median(found[:, 0] / found[:, 1]))
                rows.append([scenario.model, scenario.asked, f"{ours:,.0f}", f"{alone:,.0f}", f"{ratio:.2f}"])
                print(rows[-1], flush=True)
    return rows


def bare(folder: Path, seconds: float) -> float:
    """Samples a second that the model's session alone takes, one thread, in the batches that detectors use."""
    os.environ["VAE_PIPELINE_THREADS"] = "1"
    detector = Detector.load(folder / "detector")
    random = np.random.default_rng(0)
    description = detector.description
    if isinstance(detector, ImageDetector):
        images = random.integers(
            0, 255, (IMAGE_BATCH, detector.description.size, detector.description.size, 3), np.uint8
        )
        run, size = (lambda: detector.session.observe_images(images)), IMAGE_BATCH
    elif isinstance(detector, PairDetector):
        windows = random.normal(size=(PAIR_BATCH, *detector.session.window_shape)).astype(np.float32)
        side = detector.session.size
        images = random.integers(0, 255, (PAIR_BATCH, side, side, 3), np.uint8)
        split = detector.description.split
        run, size = (lambda: detector.session.observe_pairs(windows, images, split)), PAIR_BATCH
    else:
        shape = (BATCH_WINDOWS, len(description.sensors), description.window)  # type: ignore[attr-defined]
        windows = random.normal(size=shape).astype(np.float32)
        run, size = (lambda: detector.session.observe(windows)), BATCH_WINDOWS
    run()
    done, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        run()
        done += size
    return done / (time.perf_counter() - begun)


def _load(scenario: Scenario, port: int, rate: float, seconds: float) -> Load:
    address = f"http://127.0.0.1:{port}/predict?model={scenario.model}"
    return Load(address, scenario.body, scenario.content_type, rate, seconds)


def main() -> None:
    """Measure the lines that are asked for, print and perhaps write the tables."""
    prepare_environment()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lines", nargs="+", choices=["timeseries", "vision", "multimodal"])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--grid", action="store_true", help="by processes and threads, instead of under a steady load")
    parser.add_argument("--bare", action="store_true", help="beside ONNX Runtime alone, instead of under a steady load")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/serving.md")
    options = parser.parse_args()
    settings = load_settings()
    lines: list[Line] = options.lines
    packed = [pack(settings, Shelf(Tracker(settings)), line) for line in lines]
    if options.grid:
        told = f"`python -m benchmarks.serving {' '.join(lines)} --grid` on {machine()}, service and load on them.\n\n"
        header = ["model", "workers", "threads", "offered/s", "p95", "p99", "at most/s", "memory"]
        table = told + markdown_table(header, [row for bento in packed for row in grid(bento, 20.0)])
        print(table)
        if options.write:
            write_section(PAGE, "settings", table)
        return
    if options.bare:
        compared = [row for bento in packed for row in beside_bare(bento, options.workers, rounds=5)]
        told = (
            f"`python -m benchmarks.serving {' '.join(lines)} --bare --workers {options.workers}` on {machine()}.\n\n"
        )
        table = told + markdown_table(
            ["model", "a request", "service, samples/s", "ONNX Runtime alone", "ratio"], compared
        )
        print(table)
        if options.write:
            write_section(PAGE, "bare", table)
        return
    header = ["model", "a request", "offered/s", "samples/s", "median", "p95", "p99", "answers", "memory"]
    told = f"`python -m benchmarks.serving {' '.join(lines)} --workers {options.workers}` on {machine()}, "
    told += f"{options.seconds:.0f} s each, service and load on the same cores.\n\n"
    table = markdown_table(header, [row for bento in packed for row in steady(bento, options.workers, options.seconds)])
    over = overload(packed[0], options.workers, options.seconds)
    overloaded = markdown_table(["model", "offered/s", "answered/s", "p95", "answers", "memory"], over)
    print(told + table + "\n\n" + overloaded)
    if options.write:
        write_section(PAGE, "load", told + table)
        write_section(PAGE, "overload", overloaded)


if __name__ == "__main__":
    main()
