"""Bodies to arrays and columns: read within limits, refused in one sentence."""

import io
import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from vae_pipeline.features.arrow import to_numpy
from vae_pipeline.serving.body import CSV, Body
from vae_pipeline.serving.refused import Refused

__all__ = ["MOST_COLUMNS", "array", "columns"]

_HEADER = re.compile(rb"[\r\n]*([^\r\n]*)")

LONGEST = 200
"""Characters of a text in a table, such as the name of a unit."""
MOST_COLUMNS = 5_000
"""Columns of a table, read or not: each takes kilobytes, of what may be two bytes."""


def array(content: bytes, *, field: str, most: int) -> np.ndarray:
    """The array of an npy file with at most ``most`` numbers.

    Raises:
        Refused: it is none, holds Python objects, or says another size than it has.
    """
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
        if dtype.hasobject or dtype.kind not in "fiub":
            msg = f"{field}: holds {dtype}, not numbers; save an array of numbers"
            raise Refused(422, msg, field)
        count = math.prod(shape)
        if count > most:
            msg = f"{field}: {count:,} numbers are more than the {most:,} allowed; send fewer at once"
            raise Refused(413, msg, field)
        if count * dtype.itemsize > len(content) - stream.tell():
            msg = f"{field}: the array is cut off; it says {count:,} numbers and holds fewer"
            raise Refused(422, msg, field)
        stream.seek(0)
        return np.lib.format.read_array(stream, allow_pickle=False)
    except Refused:
        raise
    except Exception as error:  # NumPy parses the header as Python, which a made-up one can break in any way
        text = " ".join(str(error).split())
        msg = f"{field}: cannot be read as npy ({text[:300]}); save it with numpy.save"
        raise Refused(422, msg, field) from error


def columns(body: Body, *, rows: int, wanted: Collection[str] | None = None) -> Mapping[str, np.ndarray]:
    """The columns of a CSV or Parquet table with at most ``rows`` rows; only those are read that are ``wanted``.

    Raises:
        Refused: it cannot be read as one, or has more rows, or more columns than `MOST_COLUMNS`.
    """
    import pyarrow as pa

    read = _csv if body.content_type == CSV else _parquet
    try:
        table = read(body.content, rows, wanted)
        names = table.column_names  # decoded here
    except (pa.ArrowException, OSError, ValueError) as error:
        text = " ".join(str(error).split())
        msg = f"table: cannot be read as {body.content_type} ({text[:300]}); correct it and send it again"
        raise Refused(422, msg, "table") from error
    return {name: _plain(table.column(name), name) for name in names}


def _chosen(names: Sequence[str], wanted: Collection[str] | None) -> list[str]:
    """Which of a table's columns are read.

    Raises:
        Refused: there are too many, or two of one name.
    """
    _require_few(len(names))
    seen: set[str] = set()
    for name in names:
        if name in seen:
            msg = f"column {name[:100]!r}: is named twice; rename one"
            raise Refused(422, msg, f"column {name[:100]!r}")
        seen.add(name)
    return [name for name in names if wanted is None or name in wanted]


def _require_few(count: int) -> None:
    if count > MOST_COLUMNS:
        msg = f"table: {count:,} columns are more than the {MOST_COLUMNS:,} allowed; send those that the model reads"
        raise Refused(413, msg, "table")


def _plain(column: Any, name: str) -> np.ndarray:
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):  # a long text that many rows share stays one
        coded = column.unify_dictionaries().combine_chunks()
        texts = np.array([*_texts(coded.dictionary, name), ""], dtype=object)
        return texts[[len(texts) - 1 if place is None else place for place in coded.indices.to_pylist()]]
    if pa.types.is_null(kind):  # of CSV: nothing stands in it
        return np.full(len(column), np.nan)
    try:
        if pa.types.is_integer(kind) and not column.null_count:
            return to_numpy(_one(column, pa.int64()))
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
            return to_numpy(_one(column.cast(pa.int8()) if pa.types.is_boolean(kind) else column, pa.float64()))
        return _texts(column, name)
    except (pa.ArrowException, ValueError) as error:
        msg = f"column {name!r}: {kind} cannot be read ({error}); send numbers, texts or times"
        raise Refused(422, msg, f"column {name!r}") from error


def _texts(column: Any, name: str) -> np.ndarray:
    import pyarrow as pa

    texts = ["" if text is None else text for text in _one(column, pa.string()).to_pylist()]
    if any(len(text) > LONGEST for text in texts):  # it would come back in every answer
        msg = f"column {name!r}: holds a text of more than {LONGEST} characters; shorten it"
        raise Refused(422, msg, f"column {name!r}")
    return np.array(texts, dtype=object)


def _one(column: Any, kind: Any) -> Any:
    """A chunked column as one array of a type; what numbers lose as doubles is lost in scaling as well."""
    found = column.cast(kind, safe=False)
    return found.combine_chunks() if hasattr(found, "combine_chunks") else found


def _csv(content: bytes, rows: int, wanted: Collection[str] | None) -> Any:
    from pyarrow import csv

    # a row has at least its end of line, so this bounds what is parsed
    if content.count(b"\n") > rows + 1:
        raise _too_long(content.count(b"\n") - 1, rows)
    header = _HEADER.match(content)
    line = header[1] if header else b""
    _require_few(line.count(b",") + 1)
    single = csv.ReadOptions(use_threads=False)
    names = csv.read_csv(io.BytesIO(line + b"\n"), single).column_names
    chosen = _chosen(names, wanted) or names[:1]  # how many rows there are is known from any
    return _bounded(csv.read_csv(io.BytesIO(content), single, None, csv.ConvertOptions(include_columns=chosen)), rows)


def _parquet(content: bytes, rows: int, wanted: Collection[str] | None) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(io.BytesIO(content))
    if file.metadata.num_rows > rows:
        raise _too_long(file.metadata.num_rows, rows)
    # few bytes can say a column, or a text, many times over: only what is asked for is read, texts as they are coded
    schema = file.schema_arrow
    chosen = _chosen(schema.names, wanted)
    for name in chosen:
        _require_plain(schema.field(name).type, name)
    texts = [name for name in chosen if pa.types.is_string(kind := schema.field(name).type) or _is_other_text(kind)]
    coded = pq.ParquetFile(io.BytesIO(content), read_dictionary=texts)
    return _bounded(coded.read(columns=chosen, use_threads=False), rows)


def _is_other_text(kind: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _require_plain(kind: Any, name: str) -> None:
    """Refuse what a row may hold any amount of, before it is read."""
    import pyarrow as pa

    held = kind.value_type if pa.types.is_dictionary(kind) else kind
    plain = pa.types.is_primitive(held) or pa.types.is_decimal(held) or pa.types.is_null(held)
    if not plain and not pa.types.is_string(held) and not _is_other_text(held):
        msg = f"column {name[:100]!r}: {kind} cannot be read; send numbers, texts or times"
        raise Refused(422, msg, f"column {name[:100]!r}")


def _bounded(table: Any, rows: int) -> Any:
    count = table.num_rows
    if count > rows:
        raise _too_long(count, rows)
    if count == 0:
        msg = "table: has no rows; send at least as many of a unit as a window holds"
        raise Refused(422, msg, "table")
    return table


def _too_long(count: int, rows: int) -> Refused:
    return Refused(413, f"table: {count:,} rows are more than the {rows:,} allowed; send fewer at once", "table")
