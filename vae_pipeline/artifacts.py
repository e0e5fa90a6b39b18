"""Stage outputs that are made once: the same inputs, settings and code give the same folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vae_pipeline.records import Artifact, Dataset, Line
from vae_pipeline.storage import Storage, fingerprint

__all__ = ["CHAIN", "STAGE_CODE_VERSIONS", "Work", "chain", "folder_key", "produce"]

Work = Callable[[Path], dict[str, Any]]
"""Fills a folder and returns facts worth showing."""

STAGE_CODE_VERSIONS: dict[str, str] = {
    "raw": "1",
    "validated": "1",
    "features": "3",
    "trained": "3",
    "calibrated": "8",
    "evaluated": "3",
    "explained": "1",
    "registered": "1",
    "promoted": "1",
    "tuned": "1",
    "cross_validated": "1",
}
"""Raise a stage's version when its code changes what it makes; everything downstream is then made anew."""

CHAIN: tuple[str, ...] = tuple(stage for stage in STAGE_CODE_VERSIONS if stage not in {"tuned", "cross_validated"})
"""The stages of a line's job in order; the others are made on demand."""


def chain(line: Line) -> tuple[str, ...]:
    """The stages of a line's job in order; pairs are validated as readings and as pictures, on the two other lines."""
    return tuple(stage for stage in CHAIN if stage != "validated" or line != "multimodal")


def folder_key(dataset: Dataset, stage: str, version: str) -> str:
    """Where in storage a stage's folder of this data version lies."""
    return f"{dataset.line}/{dataset.name}/{stage}/{version}"


def produce(storage: Storage, dataset: Dataset, stage: str, inputs: tuple[Any, ...], work: Work) -> Artifact:
    """The stage's folder for these inputs: found in storage if it was made before, made by ``work`` otherwise.

    The data version is a hash of the stage's code version and ``inputs``, upstream data versions among them, so it is
    known before the work is done and the same everywhere. A folder appears whole or not at all.

    Args:
        storage: where folders are kept.
        dataset: names the folder.
        stage: name of the stage, a key of `STAGE_CODE_VERSIONS`.
        inputs: JSON-like values and records that determine the output.
        work: makes the output.
    """
    version = fingerprint(stage, STAGE_CODE_VERSIONS[stage], *inputs)
    key = folder_key(dataset, stage, version)
    if storage.exists(key):
        return Artifact(key=key, data_version=version, reused=True, facts=storage.manifest(key)["facts"])
    manifest: dict[str, Any] = {"stage": stage, "dataset": dataset.name, "data_version": version}
    with storage.new_folder(key, manifest) as folder:
        manifest["facts"] = work(folder)
    # of two writers one was first: its facts are those of the folder that is read
    return Artifact(key=key, data_version=version, facts=storage.manifest(key)["facts"])
