"""Tiny files in the layout of C-MAPSS, archives of them, and catalogue entries that name them."""

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from vae_pipeline.records import Dataset

REPOSITORY = Path(__file__).parents[2]


def write_cmapss(
    folder: Path,
    name: str = "FD001",
    train_lengths: tuple[int, ...] = (30, 40),
    test_left: tuple[int, ...] = (7, 0, 12),
) -> Path:
    """Write train, test and RUL files; test units have 20 rows and ``test_left`` cycles left."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"train_{name}.txt").write_text(_rows(train_lengths))
    (folder / f"test_{name}.txt").write_text(_rows((20,) * len(test_left)))
    (folder / f"RUL_{name}.txt").write_text("".join(f"{left} \n" for left in test_left))
    return folder


def _rows(lengths: tuple[int, ...]) -> str:
    random = np.random.default_rng(0)
    lines = []
    for unit, length in enumerate(lengths, start=1):
        for cycle in range(1, length + 1):
            values = " ".join(f"{value:.4f}" for value in random.normal(100.0, 1.0, 24))
            lines.append(f"{unit} {cycle} {values}  \n")
    return "".join(lines)


def zip_folder(folder: Path, target: Path, inside: str = "") -> Path:
    """Pack a folder's files; ``inside`` is put before their names."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, inside + path.relative_to(folder).as_posix())
    return target


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def entry(**fields: Any) -> Dataset:
    """A catalogue entry with the given fields; a C-MAPSS one named FD001 if nothing else is said."""
    plain = {"name": "FD001", "title": "t", "line": "timeseries", "kind": "cmapss", "licence": "none"}
    return Dataset.model_validate({**plain, **fields})
