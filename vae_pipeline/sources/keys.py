"""The column that names what belongs to a row elsewhere, such as its image: text, as the file spells it."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from vae_pipeline.records import TableFiles
from vae_pipeline.sources.delimited import PARQUET

__all__ = ["KEY", "keys_of"]

KEY = "key"
"""What the column is called in a canonical table."""


def keys_of(file: Path, frame: pd.DataFrame, name: str, files: TableFiles) -> np.ndarray:
    """The column ``name`` of what `read_frame` gave of ``file``, text (rows,); empty cells are ''.

    ``000003`` and ``NA`` stay what they are: a CSV column that was taken for numbers, or has gaps, is read again.
    """
    values = cast("pd.Series", frame[name])
    changed = pd.api.types.is_numeric_dtype(values.dtype) or bool(values.isna().any())
    if changed and file.suffix.lower() not in PARQUET:
        place = list(frame.columns).index(name)
        again = pd.read_csv(
            file,
            sep=files.separator,
            header=0 if files.header else None,
            index_col=False,
            usecols=cast("Any", [place]),
            dtype=str,
            keep_default_na=False,
        )
        values = again.iloc[:, 0]
    given = values.notna().to_numpy(dtype=bool)
    known = cast("pd.Series", values[given])
    if pd.api.types.is_float_dtype(known.dtype) and bool((known == np.floor(known)).all()):
        known = known.astype(np.int64)  # an empty cell elsewhere makes 3 to 3.0
    found = np.full(len(values), "", dtype=object)
    found[given] = known.astype(str).str.strip().to_numpy(dtype=object)
    return found
