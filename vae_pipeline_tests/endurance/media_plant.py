"""A small plant of images and recordings: a catalogue with a set of each, good until spoilt."""

from pathlib import Path
from typing import Any

import yaml

from vae_pipeline_tests.builders.pictures import write_pictures
from vae_pipeline_tests.builders.recordings import write_recordings

PARTS: dict[str, Any] = {
    "kind": "mvtec",
    "line": "vision",
    "title": "parts",
    "licence": "none",
    "folder": "parts",
    "imaging": {"size": 32},
    "training": {"epochs": 1, "images_per_epoch": 16, "width": 4, "latent": 4, "workers": 0},
}
FANS: dict[str, Any] = {
    "kind": "recordings",
    "line": "timeseries",
    "title": "fans",
    "licence": "none",
    "folder": "fans",
    "window": {"length": 8},
    "split": {"folds": 0},
    "sound": {"bands": 16},
    "training": {"encoder": "mlp", "hidden": [8], "latent": 2, "epochs": 1, "max_windows_per_epoch": 64},
}


def write_media_plant(folder: Path) -> Path:
    """The plant's files; gives the catalogue. Datasets: ``parts`` (images) and ``fans`` (recordings)."""
    write_pictures(folder / "parts", train=12, good=3, defects={"hole": 2, "stain": 2})
    write_recordings(folder / "fans", normal=8, abnormal=4)
    return write_media_catalog(folder)


def write_media_catalog(folder: Path, parts: dict[str, Any] | None = None, fans: dict[str, Any] | None = None) -> Path:
    """The catalogue; what is given replaces fields of an entry."""
    path = folder / "plant.yaml"
    datasets = {"parts": {**PARTS, **(parts or {})}, "fans": {**FANS, **(fans or {})}}
    path.write_text(yaml.safe_dump({"datasets": datasets}))
    return path
