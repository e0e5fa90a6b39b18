"""Labels that lie in files of their own: one 0 or 1 a line."""

from pathlib import Path

import numpy as np

from vae_pipeline.errors import DataError

__all__ = ["matched", "read_labels"]


def matched(paths: list[Path], labels: list[Path]) -> dict[Path, Path]:
    """The label file of every data file: the same name, or the only one for the only one.

    Raises:
        DataError: a data file has no label file of its name.
    """
    if len(paths) == len(labels) == 1:
        return {paths[0]: labels[0]}
    by_name = {path.name: path for path in labels} | {path.stem: path for path in labels}
    found = {path: by_name.get(path.name) or by_name.get(path.stem) for path in paths}
    for path, label in found.items():
        if label is None:
            msg = f"{path}: no label file has the same name; there are {', '.join(item.name for item in labels)}"
            raise DataError(msg)
    return {path: label for path, label in found.items() if label is not None}


def read_labels(file: Path, data: Path, expected: int) -> np.ndarray:
    """The labels of the ``expected`` rows of ``data``, int8 (rows,): 1 anomalous, 0 normal.

    Raises:
        DataError: a line is neither 0 nor 1, or there are more or fewer than rows.
    """
    values = []
    with file.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            text = line.strip()
            if not text:
                continue
            if text not in ("0", "1", "0.0", "1.0"):
                msg = f"{file}, line {number}: the label is {text!r}, but must be 0 or 1"
                raise DataError(msg)
            values.append(text[0] == "1")
    if len(values) != expected:
        msg = f"{file}: {len(values)} labels, but {data} has {expected} rows; there must be one a row"
        raise DataError(msg)
    return np.asarray(values, dtype=np.int8)
