"""The suite of tables: what is asked of which frame, how gravely, and how a failure is told.

Great Expectations costs per expectation, so wide tables are asked through the ``columns`` frame (one row per column)
and only ranges are one expectation per column.
"""

import json
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from vae_pipeline.errors import DataError
from vae_pipeline.records import Dataset
from vae_pipeline.validation.frames import CYCLE_KINDS, Frames, frames
from vae_pipeline.validation.great import expectations as gxe
from vae_pipeline.validation.suites import Check, Part
from vae_pipeline.validation.verdict import Size

__all__ = ["TableSuite"]

FRAMES = ("rows", "columns", "units", "values", "normal")
MISSING_LIMIT = 0.05
RANGE_MARGIN = 0.1
RANGE_MOSTLY = 0.999


class TableSuite:
    """The suite of tables; the training part teaches the limits the test part is judged by."""

    def __init__(self, dataset: Dataset, raw: Path) -> None:
        """Read what the source says of the columns and see whether there is a test part.

        Raises:
            DataError: ``source.json`` cannot be read or names no columns.
        """
        self.dataset = dataset
        self.settings, self.sensors = _source_columns(raw / "source.json")
        self.has_test = (raw / "test.parquet").exists()
        self.learnt: dict[str, tuple[float, float]] | None = None

    def schema(self, table: pd.DataFrame) -> list[Check]:  # noqa: ARG002
        """The columns are there, and rows."""
        stated = [*self.dataset.columns.settings, *(self.dataset.columns.sensors or ())]
        life = ["remaining_life"] if self.dataset.labels.run_to_failure else []
        # a range that names no column would never be judged
        wanted = ["unit", "time", *self.settings, *self.sensors, *stated, *life, *self.dataset.ranges]
        return schema_checks(list(dict.fromkeys(wanted)))

    def ask(self, part: Part, table: pd.DataFrame) -> tuple[dict[str, pd.DataFrame], list[Check]]:
        """The frames of ``Frames`` by their names, and all further checks."""
        shape = frames(part, table, self.dataset, self.settings, self.sensors)
        checks = suite_checks(shape, self.dataset, self.learnt, has_test=self.has_test)
        self.learnt = learnt_ranges(shape)
        return {name: getattr(shape, name) for name in FRAMES}, checks

    def expected(self, statement: str, part: Part) -> str:
        """What a statement asks of a table."""
        return expected_text(statement, self.dataset, part)

    def size(self, part: Part, table: pd.DataFrame) -> Size:
        """Rows, units and columns."""
        units = int(table["unit"].nunique()) if "unit" in table else 0
        return Size(part=part, rows=len(table), units=units, columns=len(table.columns))


def _source_columns(path: Path) -> tuple[list[str], list[str]]:
    """Names of the settings and of the sensors, as the source wrote them."""
    try:
        content = json.loads(path.read_text())
        return [str(name) for name in content["settings"]], [str(name) for name in content["sensors"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{path}: cannot be read or lacks 'settings' or 'sensors' ({error}); materialize the raw data again"
        raise DataError(msg) from error


def expected_text(statement: str, dataset: Dataset, part: str) -> str:
    """What a statement asks, in words for the report."""
    window = dataset.window.length
    texts = {
        "columns_are_present": "the table has the columns unit and time and all settings and sensors",
        "rows_are_present": "the table has rows",
        "columns_are_numeric": "settings and sensors are numbers; time is a number or a timestamp",
        "keys_are_present": "every row names its unit and its time",
        "keys_are_unique": "no time occurs twice in a unit",
        "units_are_contiguous": "the rows of a unit follow each other; where not, they are brought together later",
        "cycles_are_consecutive": "the cycles of a unit count 1, 2, 3, …",
        "time_increases": "time rises from row to row of a unit",
        "rows_are_complete": (
            f"no value is missing (warning), no column by more than {MISSING_LIMIT:.0%} and none for more than "
            f"a window of {window} rows (critical)"
        ),
        "values_are_finite": "no value is infinite",
        "values_are_in_range": "values keep to the limits stated in the catalogue (critical)"
        if part == "train"
        else (
            f"values keep to the limits stated in the catalogue (critical), else {RANGE_MOSTLY:.1%} of them to "
            f"those of the training rows, {RANGE_MARGIN:.0%} wider on both sides (warning)"
        ),
        "sensors_vary": "no sensor is constant (warning), not all are (critical)"
        if part == "train"
        else "not all sensors are constant",
        "units_are_long_enough": f"every unit fills a window of {window} rows (warning), at least one does (critical)",
        "units_are_enough": f"there are two units, or rows enough in one for a window of {window} in each split",
        "labels_are_binary": "labels are 0, 1 or empty",
        "counts_are_as_published": "rows and units are as many as the authors publish; a reduced set is allowed",
    }
    return texts[statement]


def learnt_ranges(train: Frames) -> dict[str, tuple[float, float]]:
    """Limits of each column in the training rows that are not labelled anomalous, widened by ``RANGE_MARGIN``."""
    values = train.normal
    ranges = {}
    for name, low, high in zip(values.columns, values.min(), values.max(), strict=True):
        if np.isfinite(low):
            # a column constant in training is allowed its rounding
            margin = RANGE_MARGIN * (high - low) or 1e-6 * max(1.0, abs(low))
            ranges[name] = (float(low - margin), float(high + margin))
    return ranges


def schema_checks(columns: list[str]) -> list[Check]:
    """What must hold before anything else can be asked."""
    return [
        Check(
            "columns_are_present",
            "table",
            gxe().ExpectTableColumnsToMatchSet(column_set=columns, exact_match=False, severity="critical"),
            lambda _: "",
        ),
        Check(
            "rows_are_present",
            "table",
            gxe().ExpectTableRowCountToBeBetween(min_value=1, severity="critical"),
            lambda _: "no unit, no row 1",
        ),
    ]


def suite_checks(
    frames: Frames, dataset: Dataset, learnt: dict[str, tuple[float, float]] | None, *, has_test: bool
) -> list[Check]:
    """All further checks of a part; ``learnt`` are the training part's limits, for the test part."""
    return [
        *_type_checks(frames),
        *_key_checks(frames, dataset),
        *_missing_checks(frames, dataset),
        *_value_checks(frames, dataset, learnt),
        *_unit_checks(frames, dataset, dataset.split.rows_needed(dataset.window.length, has_test=has_test)),
        *_count_checks(frames, dataset),
    ]


def _type_checks(frames: Frames) -> list[Check]:
    columns = frames.columns

    def text(offset: int) -> str:
        row = columns.iloc[offset]
        value = frames.table[row["column"]].iloc[row["first_text"]]
        return f"{frames.place(row['first_text'])}, column {row['column']}: {value!r} is text"

    return [
        Check(
            "columns_are_numeric",
            "columns",
            gxe().ExpectColumnValuesToBeInSet(column="type", value_set=["number", "timestamp"], severity="critical"),
            text,
        )
    ]


def _key_checks(frames: Frames, dataset: Dataset) -> list[Check]:
    rows, place = frames.rows, frames.place
    checks = [
        Check(
            "keys_are_present",
            "rows",
            gxe().ExpectColumnValuesToNotBeNull(column=name, severity="critical"),
            lambda offset, name=name: f"{place(offset)}: {name} is missing",
        )
        for name in ("unit", "time")
    ]
    checks += [
        Check(
            "keys_are_unique",
            "rows",
            gxe().ExpectCompoundColumnsToBeUnique(
                column_list=["unit", "time"], ignore_row_if="any_value_is_missing", severity="critical"
            ),
            lambda offset: f"{place(offset)} occurs more than once (column time)",
        ),
        Check(
            "units_are_contiguous",
            "rows",
            gxe().ExpectColumnValuesToBeInSet(column="returns", value_set=[0], severity="warning"),
            lambda offset: f"{place(offset)}: the unit goes on after rows of another",
        ),
    ]
    if frames.columns.set_index("column").loc["time", "type"] == "text":
        return checks

    def stepped(offset: int) -> str:
        step = rows["step"].iloc[offset]
        if offset == 0 or rows["unit"].iloc[:offset].ne(rows["unit"].iloc[offset]).all():
            return f"{place(offset)}: the unit does not begin with cycle 1 (column time)"
        return f"{place(offset)}: column time changes by {step:+g} from the row before"

    if dataset.kind in CYCLE_KINDS:
        expectation = gxe().ExpectColumnValuesToBeBetween(column="step", min_value=1, max_value=1, severity="critical")
        return [*checks, Check("cycles_are_consecutive", "rows", expectation, stepped)]
    expectation = gxe().ExpectColumnValuesToBeBetween(column="step", min_value=0, strict_min=True, severity="critical")
    return [*checks, Check("time_increases", "rows", expectation, stepped)]


def _missing_checks(frames: Frames, dataset: Dataset) -> list[Check]:
    columns, rows, place = frames.columns, frames.rows, frames.place

    def missing(offset: int) -> str:
        row = columns.iloc[offset]
        share = f"in {row['missing_share']:.2%} of all rows"
        return f"{place(row['first_missing'])}, column {row['column']}: missing ({share})"

    def gap(offset: int) -> str:
        row = rows.iloc[offset]
        return f"{place(offset)}, column {row['missing_column']}: missing for {row['missing_run']} rows"

    def shares() -> str:
        share = columns["missing_share"].dropna()
        return f"values missing in {int((share > 0).sum())} of {len(share)} columns, at most {share.max():.2%} of one"

    between = gxe().ExpectColumnValuesToBeBetween
    return [
        *(
            Check(
                "rows_are_complete",
                "columns",
                between(column="missing_share", max_value=limit, severity=severity),
                missing,
                found=shares,
            )
            for limit, severity in ((0, "warning"), (MISSING_LIMIT, "critical"))
        ),
        Check(
            "rows_are_complete",
            "rows",
            between(column="missing_run", max_value=dataset.window.length, severity="critical"),
            gap,
            found=lambda: f"the longest gap is {rows['missing_run'].max()} rows",
        ),
    ]


def _value_checks(frames: Frames, dataset: Dataset, learnt: dict[str, tuple[float, float]] | None) -> list[Check]:
    columns, place = frames.columns, frames.place

    def infinite(offset: int) -> str:
        row = columns.iloc[offset]
        value = frames.table[row["column"]].iloc[row["first_infinite"]]
        return f"{place(row['first_infinite'])}, column {row['column']}: {value}"

    checks = [
        Check(
            "values_are_finite",
            "columns",
            gxe().ExpectColumnValuesToBeBetween(column="infinite_values", max_value=0, severity="critical"),
            infinite,
        ),
        *_constant_checks(frames),
    ]
    stated: dict[str, tuple[float | None, float | None]] = {**dataset.ranges}
    if dataset.labels.run_to_failure:
        stated.setdefault("remaining_life", (0.0, None))
    for name in frames.values.columns:
        if name in stated:
            checks.append(_range_check(frames, name, stated[name], "critical"))
        elif learnt and name in learnt:
            checks.append(_range_check(frames, name, learnt[name], "warning"))
    if "label" in frames.rows:
        checks.append(
            Check(
                "labels_are_binary",
                "rows",
                gxe().ExpectColumnValuesToBeInSet(column="label", value_set=[0, 1], severity="critical"),
                lambda offset: f"{place(offset)}, column label: {frames.rows['label'].iloc[offset]}",
            )
        )
    return checks


def _range_check(
    frames: Frames, name: str, limits: tuple[float | None, float | None], severity: Literal["critical", "warning"]
) -> Check:
    low, high = limits

    def outside(offset: int) -> str:
        value = frames.values[name].iloc[offset]
        side = f"below {low:.6g}" if low is not None and value < low else f"above {high:.6g}"
        return f"{frames.place(offset)}, column {name}: {value:.6g} is {side}"

    return Check(
        "values_are_in_range",
        "values" if severity == "critical" else "normal",
        gxe().ExpectColumnValuesToBeBetween(
            column=name,
            min_value=low,
            max_value=high,
            mostly=1.0 if severity == "critical" else RANGE_MOSTLY,
            severity=severity,
        ),
        outside,
        subject=name,
    )


def _constant_checks(frames: Frames) -> list[Check]:
    sensors = frames.columns[(frames.columns["role"] == "sensor") & (frames.columns["type"] == "number")]
    if sensors.empty:
        return []

    def constant(offset: int) -> str:
        name = frames.columns["column"].iloc[offset]
        values = frames.values[name].to_numpy()
        seen = np.isfinite(values)
        if not seen.any():
            return f"{frames.place(0)}, column {name}: no value in any row"
        first = int(seen.argmax())
        return f"{frames.place(first)}, column {name}: {values[first]:.6g} in every row"

    first_sensor = int(frames.columns["role"].eq("sensor").to_numpy().argmax())
    gravest = Check(
        "sensors_vary",
        "columns",
        gxe().ExpectColumnMaxToBeBetween(column="varies", min_value=1, severity="critical"),
        lambda _: constant(first_sensor),
        found=lambda: f"{int(sensors['varies'].sum())} of {len(sensors)} sensors vary",
    )
    if frames.part == "test":
        # a sensor that stands still in the test rows is for the detector to judge
        return [gravest]
    each = gxe().ExpectColumnValuesToBeInSet(column="varies", value_set=[1], severity="warning")
    return [Check("sensors_vary", "columns", each, constant, noun="sensors"), gravest]


def _unit_checks(frames: Frames, dataset: Dataset, needed: int) -> list[Check]:
    units, window = frames.units, dataset.window.length

    def short(offset: int) -> str:
        row = units.iloc[offset]
        return f"unit {row['unit']}, from row {row['first'] + 1}: {row['rows']} rows, the window needs {window}"

    checks = [
        Check(
            "units_are_long_enough",
            "units",
            gxe().ExpectColumnValuesToBeBetween(column="rows", min_value=window, severity="warning"),
            short,
        ),
        Check(
            "units_are_long_enough",
            "units",
            gxe().ExpectColumnMaxToBeBetween(column="rows", min_value=window, severity="critical"),
            short,
            found=lambda: f"the longest unit has {int(units['rows'].max())} rows",
        ),
    ]
    longest = int(units["rows"].max())
    # a single unit shorter than a window fails already above
    if frames.part == "train" and longest >= window:
        fewest = 1 if longest >= needed else 2
        enough = gxe().ExpectTableRowCountToBeBetween(min_value=fewest, severity="critical")
        checks.append(
            Check(
                "units_are_enough",
                "units",
                enough,
                lambda _: f"unit {units['unit'].iloc[0]}, rows 1 to {longest}: one unit alone needs {needed} rows",
            )
        )
    return checks


def _count_checks(frames: Frames, dataset: Dataset) -> list[Check]:
    if dataset.published is None:
        return []
    train = frames.part == "train"
    rows = dataset.published.train_rows if train else dataset.published.test_rows
    units = dataset.published.train_units if train else dataset.published.test_units
    equal = gxe().ExpectTableRowCountToEqual
    return [
        Check(
            "counts_are_as_published",
            "rows",
            equal(value=rows, severity="warning"),
            lambda _: f"{len(frames.rows):,} rows where {rows:,} are published",
        ),
        Check(
            "counts_are_as_published",
            "units",
            equal(value=units, severity="warning"),
            lambda _: f"{len(frames.units):,} units where {units:,} are published",
        ),
    ]
