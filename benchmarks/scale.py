"""What grows with the number of datasets: ``python -m benchmarks.scale --write``.

A home of its own has a catalogue of so many datasets of the generator ``sample_turbofan``. One is trained; its
detector is registered and made champion under the name of each. Then what every process does over and over is timed:
loading the definitions, asking the registry for champions, a tick of the sensor for new data, a scrape of the metrics,
and one Bento that carries all champions.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from benchmarks.report import machine, markdown_table, write_section

PAGE = Path(__file__).resolve().parent.parent / "docs" / "scale.md"
COUNTS = (1, 10, 100)
LINE = "timeseries"
ENTRY = """\
  {name}:
    line: timeseries
    kind: sample_turbofan
    title: generated engines
    licence: generated
    columns: {{unit: unit, time: cycle, settings: [setting_1, setting_2, setting_3],
               sensors: [sensor_2, sensor_3, sensor_4, sensor_7, sensor_8, sensor_9, sensor_11, sensor_12,
                         sensor_13, sensor_14, sensor_15, sensor_17, sensor_20, sensor_21]}}
    labels: {{healthy_from: 90, anomalous_below: 30}}
    window: {{length: 50, stride: 1}}
    regimes: 6
    generator: {{train_units: 10, test_units: 10, seed: 3}}
    training: {{epochs: 1, max_windows_per_epoch: 512}}
"""
LOAD = """\
import time, psutil
begun = time.perf_counter()
from vae_pipeline.definitions import defs
repository = defs().get_repository_def()
print(time.perf_counter() - begun, psutil.Process().memory_info().rss / 1e6)
"""


def timed(call: Callable[[], Any]) -> float:
    """Seconds of one call."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def names(count: int) -> list[str]:
    """The datasets."""
    return [f"plant_{number:03}" for number in range(count)]


def train_one_register_all(count: int) -> None:
    """Run the first dataset through the line; register what came of it under every name, as champion."""
    from vae_pipeline.defs.execute import open_instance, run_partition
    from vae_pipeline.registry.shelf import Shelf
    from vae_pipeline.registry.tracking import Tracker
    from vae_pipeline.settings import load_settings

    settings = load_settings()
    first, *others = names(count)
    found = run_partition(LINE, first, {}, open_instance(settings), lambda *_: None)
    shelf = Shelf(Tracker(settings))
    shelf.decide(f"{LINE}-{first}", 1, against=None, promote=True, reason="the first")
    detector = Path(found["calibrated"]["folder"]) / "detector"
    for name in others:
        registered = f"{LINE}-{name}"
        tags = {"line": LINE, "dataset": name, "data_version": "1", "evaluation_version": name}
        with shelf.tracker.run(LINE, name, {}) as run:
            version = shelf.register(run, registered, detector, beside={}, tags=tags, metrics={"test_pr_auc": 0.5})
        shelf.decide(registered, version, against=None, promote=True, reason="the first")


def new_data_tick(count: int) -> float:
    """Seconds of a tick with a complete file waiting for every dataset."""
    import dagster as dg

    from vae_pipeline.definitions import defs
    from vae_pipeline.defs.resources import StorageResource
    from vae_pipeline.settings import load_settings
    from vae_pipeline.storage import open_incoming

    incoming = open_incoming(load_settings())
    for name in names(count):
        incoming.write_text(f"{LINE}/{name}/week.csv", "unit,cycle\n")
        incoming.write_text(f"{LINE}/{name}/week.csv.done", "")
    repository = defs().get_repository_def()
    sensor = repository.get_sensor_def(f"{LINE}_new_data")
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(
            instance=instance, repository_def=repository, resources={"storage": StorageResource()}
        ) as context,
    ):
        return timed(lambda: sensor.evaluate_tick(context))


def served() -> dict[str, float]:
    """One Bento of all champions: packing, start, memory of a process, and the answer to one request."""
    from vae_pipeline.packing.pack import model_folder, pack
    from vae_pipeline.packing.supervisor import Supervisor
    from vae_pipeline.registry.shelf import Shelf
    from vae_pipeline.registry.tracking import Tracker
    from vae_pipeline.settings import load_settings

    settings = load_settings()
    begun = time.perf_counter()
    packed = pack(settings, Shelf(Tracker(settings)), LINE)
    found = {"packing, s": time.perf_counter() - begun}
    example = next(model for model in packed.models if model.example is not None)
    assert example.example is not None  # noqa: S101
    body = (model_folder(packed, example) / "example" / example.example.file).read_bytes()
    supervisor = Supervisor(settings, "127.0.0.1", 0, 1)
    try:
        found["start, s"] = timed(lambda: supervisor.serve(packed.tag, packed.path))
        address = f"http://127.0.0.1:{supervisor.port}/predict?model={example.dataset}"
        headers = {"content-type": example.example.content_type}
        with httpx.Client(timeout=60) as client:
            asked = [timed(lambda: client.post(address, content=body, headers=headers)) for _ in range(50)]
        found["a request, ms"] = 1000 * float(np.median(asked[5:]))
        found["memory, MB"] = psutil.Process(supervisor.processes[0]).memory_info().rss / 1e6
    finally:
        supervisor.close()
    return found


def measured(count: int) -> dict[str, float]:
    """All figures of one number of datasets, in the home that the environment names."""
    from vae_pipeline.metrics.champions import champion_metrics
    from vae_pipeline.registry.shelf import Shelf
    from vae_pipeline.registry.tracking import Tracker
    from vae_pipeline.settings import load_settings

    train_one_register_all(count)
    loaded = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=True)
    seconds, memory = (float(text) for text in loaded.stdout.split())
    shelf = Shelf(Tracker(load_settings()))
    return {
        "definitions load, s": seconds,
        "definitions, MB": memory,
        "champions, first look, s": timed(lambda: shelf.champions(LINE)),
        "champions, unchanged, s": timed(lambda: shelf.champions(LINE)),
        "tick of new data, s": new_data_tick(count),
        "scrape of champions, s": timed(lambda: list(champion_metrics(shelf))),
        **{f"Bento: {name}": value for name, value in served().items()},
    }


def in_own_process(count: int, folder: Path) -> dict[str, float]:
    """`measured` in a fresh process and home."""
    home = folder / str(count)
    home.mkdir()
    catalogue = home / "catalog.yaml"
    catalogue.write_text("datasets:\n" + "".join(ENTRY.format(name=name) for name in names(count)))
    variables = {**os.environ, "VAE_PIPELINE_HOME": str(home), "VAE_PIPELINE_CATALOG": str(catalogue)}
    variables.pop("DAGSTER_HOME", None)
    command = [sys.executable, "-m", "benchmarks.scale", "--one", str(count)]
    ran = subprocess.run(command, env=variables, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(ran.stdout.splitlines()[-1])


def main() -> None:
    """Measure and print, or write into docs/scale.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=list(COUNTS), help="numbers of datasets")
    parser.add_argument("--write", action="store_true", help="write the table into docs/scale.md")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(measured(options.one)))
        return
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        found = {count: in_own_process(count, Path(folder)) for count in options.counts}
    rows = [[name, *(f"{found[count][name]:.3g}" for count in options.counts)] for name in found[options.counts[0]]]
    table = markdown_table(["datasets", *(str(count) for count in options.counts)], rows)
    text = f"{machine()}\n\n{table}"
    print(text)
    if options.write:
        write_section(PAGE, "datasets", text)


if __name__ == "__main__":
    main()
