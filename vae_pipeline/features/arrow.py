"""Arrow columns to NumPy and back over their buffers: PyArrow's own ways import pandas where it is installed."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

__all__ = ["lists_to_arrow", "text_to_arrow", "times_to_arrow", "to_arrow", "to_numpy", "truths_to_arrow"]

_TYPES = {
    pa.int8(): np.int8,
    pa.int32(): np.int32,
    pa.int64(): np.int64,
    pa.float32(): np.float32,
    pa.float64(): np.float64,
}


def to_numpy(array: pa.Array) -> np.ndarray:
    """The values of an int8, int32, int64, float32 or float64 array, shape (n,); null is NaN in floats."""
    dtype = np.dtype(_TYPES[array.type])
    validity, data = array.buffers()
    if data is None or len(array) == 0:
        return np.full(len(array), np.nan if dtype.kind == "f" else 0, dtype=dtype)
    values = np.frombuffer(data, dtype=dtype, count=array.offset + len(array))[array.offset :]
    if array.null_count and validity is not None and dtype.kind == "f":
        bits = np.unpackbits(np.frombuffer(validity, dtype=np.uint8), bitorder="little")
        known = bits[array.offset : array.offset + len(array)].astype(bool)
        return np.where(known, values, dtype.type(np.nan))
    return values


def to_arrow(values: np.ndarray) -> pa.Array:
    """An array without nulls of the same type, shape (n,)."""
    kind = next(arrow for arrow, dtype in _TYPES.items() if values.dtype == dtype)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def text_to_arrow(values: Sequence[str | None]) -> pa.Array:
    """A string array; None is null."""
    encoded = [(value or "").encode() for value in values]
    offsets = np.zeros(len(encoded) + 1, dtype=np.int32)
    np.cumsum([len(value) for value in encoded], out=offsets[1:])
    known = None if None not in values else _bits(np.array([value is not None for value in values]))
    nulls = sum(value is None for value in values)
    return pa.StringArray.from_buffers(
        len(encoded), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded)), known, nulls
    )


def truths_to_arrow(values: np.ndarray) -> pa.Array:
    """A boolean array, shape (n,)."""
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, _bits(values)])


def times_to_arrow(microseconds: np.ndarray) -> pa.Array:
    """Moments in UTC of whole microseconds since 1970, int64, shape (n,)."""
    counted = np.ascontiguousarray(microseconds, dtype=np.int64)
    return pa.Array.from_buffers(pa.timestamp("us", tz="UTC"), len(counted), [None, pa.py_buffer(counted)])


def lists_to_arrow(values: np.ndarray, lengths: np.ndarray) -> pa.Array:
    """Lists of the given lengths, int (n,), that follow each other in ``values``, float32 (sum of lengths,)."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pa.ListArray.from_arrays(to_arrow(offsets), to_arrow(np.asarray(values, dtype=np.float32)))


def _bits(values: np.ndarray) -> pa.Buffer:
    return pa.py_buffer(np.packbits(np.asarray(values, dtype=bool), bitorder="little"))
