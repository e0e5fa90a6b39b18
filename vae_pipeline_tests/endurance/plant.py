"""A small plant of one's own: a catalogue with a table of pumps and a look-alike of C-MAPSS, good until spoilt."""

from pathlib import Path

import numpy as np
import yaml

from vae_pipeline_tests.builders.cmapss import write_cmapss, zip_folder

TRAINING = {"encoder": "mlp", "hidden": [8], "latent": 2, "epochs": 1, "max_windows_per_epoch": 128}
WINDOW = 10
UNITS = 5
ROWS = 80
HEADER = "time,pump,pressure,flow,temperature,fault"


def pump(seed: int, rows: int = ROWS, *, faulty: bool = False) -> list[str]:
    """The lines of a pump's file, header first; a faulty one has a labelled stretch of 20 rows."""
    random = np.random.default_rng(seed)
    lines = [HEADER]
    for time in range(rows):
        fault = int(faulty and 40 <= time < 60)
        pressure, flow, temperature = random.normal((6.0, 40.0, 300.0), (0.1, 1.0, 2.0)) + 6 * fault * np.ones(3)
        lines.append(f"{time},p{seed},{pressure:.4f},{flow:.4f},{temperature:.4f},{fault}")
    return lines


def write_pumps(folder: Path) -> None:
    """Five files of normal rows and one that is labelled."""
    (folder / "normal").mkdir(parents=True, exist_ok=True)
    for seed in range(UNITS):
        (folder / "normal" / f"p{seed}.csv").write_text("\n".join(pump(seed)) + "\n")
    (folder / "labelled.csv").write_text("\n".join(pump(90, 120, faulty=True)) + "\n")


def write_plant(folder: Path) -> Path:
    """The plant's files; gives the catalogue. Datasets: ``pumps`` and ``engines`` (an archive)."""
    write_pumps(folder)
    write_cmapss(folder / "engines", "engines", train_lengths=(60, 60, 60, 60, 60), test_left=(2, 40, 5, 60))
    zip_folder(folder / "engines", folder / "engines.zip")
    return write_catalog(folder)


def write_catalog(folder: Path, **archive: str | int) -> Path:
    """The catalogue; ``archive`` adds fields to that of ``engines``."""
    plain = {"line": "timeseries", "licence": "none", "window": {"length": WINDOW}, "training": TRAINING}
    datasets = {
        "pumps": {
            **plain,
            "kind": "table",
            "title": "pumps",
            "files": {"train": "normal/*.csv", "test": "labelled.csv"},
            "columns": {
                "unit": "pump",
                "time": "time",
                "sensors": ["pressure", "flow", "temperature"],
                "label": "fault",
            },
        },
        "engines": {
            **plain,
            "kind": "cmapss",
            "title": "engines",
            "archive": {"path": "engines.zip", **archive},
            "labels": {"healthy_from": 30, "anomalous_below": 15},
        },
    }
    path = folder / "plant.yaml"
    path.write_text(yaml.safe_dump({"datasets": datasets}))
    return path
