"""Knows rows again that a source gave before: by unit, time and tag, in a window of the last ones."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pandas.util import hash_pandas_object

__all__ = ["NOTHING_SEEN", "Fresh", "Seen", "fresh_refused", "fresh_rows"]


@dataclass(frozen=True)
class Seen:
    """The last rows that were taken, oldest first: 64-bit hashes of key and values (both (rows,), uint64)."""

    keys: np.ndarray
    values: np.ndarray

    def then(self, keys: np.ndarray, values: np.ndarray, most: int) -> "Seen":
        """With these behind, and no more than ``most``."""
        return Seen(np.concatenate([self.keys, keys])[-most:], np.concatenate([self.values, values])[-most:])


NOTHING_SEEN = Seen(np.empty(0, np.uint64), np.empty(0, np.uint64))


@dataclass(frozen=True)
class Fresh:
    """Rows that are new, the window with them, how many were repeats, and how many repeats had other values."""

    rows: pd.DataFrame
    seen: Seen
    repeated: int
    changed: int


def fresh_rows(rows: pd.DataFrame, seen: Seen, *, most: int) -> Fresh:
    """The first of every (unit, time, tag) that is not among those seen; the order stays.

    A repeat with other values is left out as well, and counted as changed: what was written stays.
    """
    keys = _hashes(rows.loc[:, ["unit", "time", "tag"]])
    values = _hashes(rows.drop(columns=["unit", "time", "tag"]))
    first = ~pd.Series(keys).duplicated().to_numpy() & ~np.isin(keys, seen.keys)
    known = pd.Series(np.concatenate([seen.values, values[first]]), index=np.concatenate([seen.keys, keys[first]]))
    known = known.loc[~known.index.duplicated(keep="last")]
    changed = int((known.reindex(keys[~first]).to_numpy() != values[~first]).sum())
    kept = rows.loc[first].reset_index(drop=True)
    return Fresh(kept, seen.then(keys[first], values[first], most), int((~first).sum()), changed)


def fresh_refused(refused: list[dict[str, Any]], seen: Seen, *, most: int) -> tuple[list[dict[str, Any]], Seen]:
    """Rows set aside that were not set aside before, and the window with them."""
    found: dict[int, dict[str, Any]] = {}
    before = set(seen.keys.tolist())
    for item in refused:
        key = int.from_bytes(hashlib.sha256(json.dumps(item, sort_keys=True).encode()).digest()[:8], "big")
        if key not in before:
            found.setdefault(key, item)
    keys = np.array(list(found), dtype=np.uint64)
    return list(found.values()), seen.then(keys, keys, most)


def _hashes(rows: pd.DataFrame) -> np.ndarray:
    """A 64-bit hash a row, the same in every process."""
    return np.asarray(hash_pandas_object(rows, index=False), dtype=np.uint64)  # type: ignore[call-arg] - pandas-stubs
