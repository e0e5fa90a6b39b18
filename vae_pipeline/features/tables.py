"""Canonical tables to a features folder: split, label, scale."""

import tempfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vae_pipeline.errors import DataError
from vae_pipeline.features.arrow import to_numpy
from vae_pipeline.features.feature_set import SETTINGS, FeatureSet
from vae_pipeline.features.labels import row_labels
from vae_pipeline.features.scaling import RegimeScaler, fill_gaps
from vae_pipeline.features.source import source_of
from vae_pipeline.features.splits import Segment, batch_marks, split_table
from vae_pipeline.features.window_facts import window_facts
from vae_pipeline.records import Dataset
from vae_pipeline.storage import write_json

__all__ = ["build_tables"]

_BLOCK = 16_384


@dataclass(frozen=True, eq=False)
class _Table:
    """A raw table in unit order, by time within a unit.

    ``units`` are (name, start, stop); arrays have one entry a row, ``sensors`` and ``settings`` one column a name.
    Those two are memory-mapped, so that memory does not grow with the number of columns.
    """

    units: list[tuple[str, int, int]]
    time: np.ndarray
    sensors: np.ndarray
    settings: np.ndarray
    label: np.ndarray
    remaining_life: np.ndarray
    healthy: np.ndarray
    file_row: np.ndarray


def build_tables(dataset: Dataset, raw: Path, folder: Path) -> dict[str, Any]:
    """Write the features of ``dataset`` into ``folder`` and give facts about them.

    ``folder`` receives ``rows.npy``, ``rows.npz``, ``features.json``, ``scaling.npz`` and ``statistics.parquet``
    (statistics of at most 4,000 evenly spaced windows a part; of the fit part healthy windows only, the ones a model
    sees). Gaps in the sensors are filled from the past and counted.

    Args:
        dataset: sensors and settings are taken from ``raw/source.json`` where it names them.
        raw: folder with ``train.parquet``, perhaps ``test.parquet``, and ``source.json``.
        folder: an existing, empty folder.

    Returns:
        ``rows``, ``units``, ``filled_values``, ``regimes``, ``healthy_fit_windows``, ``anomalous_windows`` (ints, the
        last over all parts), ``<part>_units``, ``<part>_windows`` and ``<part>_anomalous_windows`` for each part,
        ``short_units`` and ``constant_sensors`` (lists of names).

    Raises:
        DataError: a column is missing, no row is healthy, all sensors are constant, or a part has no window; the
            message names the setting to change.
    """
    sensors, settings = _columns(dataset, raw)
    train = _read(raw / "train.parquet", dataset, sensors, settings, folder, training=True)
    test_file = raw / "test.parquet"
    test = _read(test_file, dataset, sensors, settings, folder, training=False) if test_file.exists() else None
    length = dataset.window.length

    # a window has the label of its last row
    anomalous = {name for name, start, stop in train.units if (train.label[start + length - 1 : stop] == 1).any()}
    segments = split_table(train.units, dataset.split, test is not None, length, batch_marks(raw), anomalous)
    _withdraw_test_rows(train, segments)
    tables = [train]
    if test is not None:
        offset = len(train.time)
        segments += [
            Segment(name, "test", start + offset, stop + offset, start + offset) for name, start, stop in test.units
        ]
        tables.append(test)

    scaler, constant = _fit_scaler(dataset, train, segments, sensors, folder)
    filled = _write_rows(folder / "rows.npy", tables, scaler)
    if scaler.regimes > 1:
        _write_settings(folder / SETTINGS, tables)
    _write_row_arrays(folder / "rows.npz", tables, segments)
    every_unit = [unit for table in tables for unit in table.units]
    longest, first, last = max(train.units, key=lambda unit: unit[2] - unit[1])
    del tables, train, test  # what follows reads what was written
    np.savez(folder / "scaling.npz", allow_pickle=False, **scaler.to_arrays())
    write_json(
        folder / "features.json",
        {
            "sensors": sensors,
            "settings": settings,
            "units": [segment.to_json() for segment in segments],
            "window": {"length": length, "stride": dataset.window.stride},
        },
    )

    facts = window_facts(dataset, FeatureSet.open(folder), (longest, last - first))
    return facts | {
        "units": len(every_unit),
        "short_units": [name for name, start, stop in every_unit if stop - start < length],
        "constant_sensors": constant,
        "filled_values": filled,
        "regimes": scaler.regimes,
    }


def _columns(dataset: Dataset, raw: Path) -> tuple[list[str], list[str]]:
    """Names of sensors and settings: what the source found, within what the catalogue asks for."""
    source = source_of(raw)
    asked = dataset.columns.sensors
    found = source.get("sensors")
    settings = source.get("settings")
    sensors = list(asked or ()) if found is None else [name for name in found if asked is None or name in asked]
    if not sensors:
        msg = f"{dataset.name}: no sensors are known; state columns.sensors as names that the table has"
        raise DataError(msg)
    return sensors, list(dataset.columns.settings if settings is None else settings)


def _read(
    file: Path, dataset: Dataset, sensors: list[str], settings: list[str], scratch: Path, *, training: bool
) -> _Table:
    """The table with its rows grouped by unit in order of first appearance and sorted by time within."""
    try:
        table = pq.ParquetFile(file)
    except (OSError, pa.ArrowException) as error:
        msg = f"{file}: cannot be read ({error}); bring the raw data in again"
        raise DataError(msg) from error
    with table:
        names = table.schema_arrow.names
        missing = [name for name in ("unit", "time", *sensors, *settings) if name not in names]
        if missing:
            msg = f"{file}: no column {missing[0]!r}; correct columns in the catalogue or the table"
            raise DataError(msg)

        def floats(name: str) -> np.ndarray:
            """A column, read batch by batch: Arrow's pool keeps what it once held."""
            values, first = np.empty(table.metadata.num_rows), 0
            for batch in table.iter_batches(batch_size=_BLOCK, columns=[name]):
                values[first : first + len(batch)] = _floats(batch.column(0), file, name)
                first += len(batch)
            return values

        names_of_units, code = _units(table)
        time, seconds = _time(table.read(columns=["time"]).column(0), file)
        # lexsort is stable: rows of equal time keep the order of the file.
        order = np.lexsort((time, code))
        counts = np.bincount(code, minlength=len(names_of_units))
        stops = np.cumsum(counts)
        rows = len(code)

        def block(wanted: list[str]) -> np.ndarray:
            return _mapped((floats(name)[order] for name in wanted), rows, len(wanted), scratch)

        life = floats("remaining_life")[order] if "remaining_life" in names else None
        known = None
        if "label" in names:
            values = floats("label")[order]
            known = np.where(np.isnan(values), -1, values).astype(np.int8)
        label, healthy = row_labels(dataset.labels, rows=rows, training=training, remaining_life=life, label=known)
        pa.default_memory_pool().release_unused()
        return _Table(
            units=[
                (str(name), int(stop - count), int(stop))
                for name, count, stop in zip(names_of_units, counts, stops, strict=True)
            ],
            time=seconds[order],
            sensors=block(sensors),
            settings=block(settings),
            label=label,
            remaining_life=(np.full(rows, np.nan) if life is None else life).astype(np.float32),
            healthy=healthy,
            file_row=order.astype(np.int64),
        )


def _units(table: pq.ParquetFile) -> tuple[list[str | None], np.ndarray]:
    """Names of the units in order of first appearance, and each row's index into them, shape (n_rows,), int32.

    Text takes several times the memory of the numbers beside it, so it is turned into codes batch by batch.
    """
    codes: dict[str | None, int] = {}
    found = [np.empty(0, dtype=np.int32)]
    for batch in table.iter_batches(batch_size=_BLOCK, columns=["unit"]):
        encoded = pc.cast(batch.column(0), pa.string()).dictionary_encode(null_encoding="encode")
        known = [codes.setdefault(name, len(codes)) for name in encoded.dictionary.to_pylist()]
        found.append(np.array(known, dtype=np.int32)[to_numpy(encoded.indices)])
    return list(codes), np.concatenate(found)


def _mapped(columns: Iterable[np.ndarray], rows: int, count: int, scratch: Path) -> np.ndarray:
    """Columns in a nameless file below ``scratch``, one at a time, mapped as shape (rows, count), float64.

    Written and not assigned through the map: a full disk is then an error and not a crash.
    """
    if not rows or not count:
        return np.empty((rows, count))
    with tempfile.TemporaryFile(dir=scratch) as file:
        for column in columns:
            file.write(np.ascontiguousarray(column, dtype=np.float64).data)
        file.flush()
        return np.memmap(file, dtype=np.float64, mode="r", shape=(count, rows)).T


def _time(column: pa.ChunkedArray, file: Path) -> tuple[np.ndarray, np.ndarray]:
    """The time to sort by, exact, and as float64: seconds since 1970 for timestamps, else the number itself."""
    if column.null_count:
        msg = f"{file}: column 'time' is empty in {column.null_count} rows; fill them or leave the rows out"
        raise DataError(msg)
    if pa.types.is_timestamp(column.type):
        nanoseconds = to_numpy(pc.cast(pc.cast(column, pa.timestamp("ns")), pa.int64()).combine_chunks())
        return nanoseconds, nanoseconds / 1e9
    if pa.types.is_integer(column.type):
        values = to_numpy(pc.cast(column, pa.int64()).combine_chunks())
        return values, values.astype(np.float64)
    values = _floats(column, file, "time")
    return values, values


def _floats(column: pa.ChunkedArray | pa.Array, file: Path, name: str) -> np.ndarray:
    """The column as float64, null as NaN."""
    try:
        values = pc.cast(column, pa.float64())
        return to_numpy(values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values)
    except pa.ArrowException as error:
        msg = f"{file}: column {name!r} holds no numbers ({error}); correct columns in the catalogue"
        raise DataError(msg) from error


def _withdraw_test_rows(train: _Table, segments: list[Segment]) -> None:
    """Rows of the training file that were cut off for testing may not be fitted on."""
    for segment in segments:
        if segment.part == "test":
            train.healthy[segment.start : segment.stop] = False


def _fit_scaler(
    dataset: Dataset, train: _Table, segments: list[Segment], sensors: list[str], scratch: Path
) -> tuple[RegimeScaler, list[str]]:
    """The scaler of the healthy fit rows, and the sensors that are constant over them."""
    fit = np.zeros(len(train.time), dtype=bool)
    for segment in segments:
        if segment.part == "fit":
            fit[segment.start : segment.stop] = True
    fit &= train.healthy
    if not fit.any():
        rule = dataset.labels
        advice = (
            f"none has labels.healthy_from={rule.healthy_from} or more cycles of remaining life; lower it"
            if rule.run_to_failure
            else "all are labelled anomalous; add normal training rows"
        )
        msg = f"{dataset.name}: no row of the fit part is healthy: {advice}"
        raise DataError(msg)
    count = int(fit.sum())
    values = _mapped((column[fit] for column in train.sensors.T), count, len(sensors), scratch)
    settings = _mapped((column[fit] for column in train.settings.T), count, train.settings.shape[1], scratch)
    constant = [name for name, column in zip(sensors, values.T, strict=True) if _is_constant(column)]
    if len(constant) == len(sensors):
        msg = (
            f"{dataset.name}: every sensor is constant over the healthy rows of the fit part, so there is nothing to "
            f"learn; name varying columns in columns.sensors"
        )
        raise DataError(msg)
    return RegimeScaler.fit(values, settings, dataset.regimes, seed=dataset.split.seed), constant


def _is_constant(column: np.ndarray) -> bool:
    finite = column[np.isfinite(column)]
    return len(finite) == 0 or bool(finite.min() >= finite.max())


def _write_rows(file: Path, tables: list[_Table], scaler: RegimeScaler) -> int:
    """Scale block by block into an ``.npy`` file; returns how many missing values were filled."""
    rows = sum(len(table.time) for table in tables)
    filled = 0
    with file.open("wb") as target:
        np.lib.format.write_array_header_1_0(
            target, {"descr": "<f4", "fortran_order": False, "shape": (rows, scaler.mean.shape[1])}
        )
        for table in tables:
            for _, start, stop in table.units:  # these follow each other without gaps
                before = np.empty((0, scaler.mean.shape[1]), dtype=np.float32)
                for first in range(start, stop, _BLOCK):
                    block = slice(first, min(first + _BLOCK, stop))
                    scaled = scaler.transform(table.sensors[block], table.settings[block])
                    filled += int(np.isnan(scaled).sum())
                    scaled = fill_gaps(np.concatenate([before, scaled]))[len(before) :]
                    target.write(np.ascontiguousarray(scaled, dtype="<f4").data)
                    before = scaled[-1:]
    return filled


def _write_settings(file: Path, tables: list[_Table]) -> None:
    """The raw settings of every row: which regime it was in, and so what its sensors read."""
    rows = sum(len(table.time) for table in tables)
    with file.open("wb") as target:
        np.lib.format.write_array_header_1_0(
            target, {"descr": "<f4", "fortran_order": False, "shape": (rows, tables[0].settings.shape[1])}
        )
        for table in tables:
            for first in range(0, len(table.time), _BLOCK):
                target.write(np.ascontiguousarray(table.settings[first : first + _BLOCK], dtype="<f4").data)


def _write_row_arrays(file: Path, tables: list[_Table], segments: list[Segment]) -> None:
    """What is known of each row, as ``np.savez`` would write it, but one array at a time."""

    def unit() -> np.ndarray:
        codes = np.full(sum(len(table.time) for table in tables), -1, dtype=np.int32)
        for code, segment in enumerate(segments):
            codes[segment.start : segment.stop] = code
        return codes

    def joined(pick: Callable[[_Table], np.ndarray]) -> Callable[[], np.ndarray]:
        return lambda: np.concatenate([pick(table) for table in tables])

    arrays: dict[str, Callable[[], np.ndarray]] = {
        "unit": unit,
        "time": joined(lambda table: table.time),
        "label": joined(lambda table: table.label),
        "remaining_life": joined(lambda table: table.remaining_life),
        "healthy": joined(lambda table: table.healthy),
        "file_row": joined(lambda table: table.file_row),
    }
    with zipfile.ZipFile(file, "w") as archive:
        for name, made in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, made(), allow_pickle=False)
