"""Resampling against a slow oracle that walks bin by bin, and cut into batches against itself as one."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_pipeline.connectors.config import Resample
from vae_pipeline.connectors.resampling import pivot, resample

S = 1_000_000_000
EVERY, LONGEST = 10, 40
SENSORS = ["flow", "pressure"]
GAPS = ["keep", "last", "interpolate", "split"]


def rule_of(gaps, aggregate="mean"):
    return Resample.model_validate(
        {"every": f"{EVERY}s", "longest": f"{LONGEST}s", "gaps": gaps, "aggregate": aggregate}
    )


def frame_of(rows):
    """Rows of (unit, seconds, flow, pressure), None for missing, sorted."""
    frame = pd.DataFrame(rows, columns=["unit", "time", *SENSORS])
    frame = frame.astype({"unit": object, "time": np.int64, "flow": np.float64, "pressure": np.float64})
    frame["time"] *= S
    return frame.sort_values(["unit", "time"], kind="stable").reset_index(drop=True)


def oracle(rows, gaps, aggregate):
    """{(unit, bin in seconds): [flow, pressure]}, None for missing, by the words of the module."""
    out = {}
    for unit in sorted({row[0] for row in rows}):
        mine = sorted((row for row in rows if row[0] == unit), key=lambda row: row[1])
        cells = {}
        for row in mine:
            cells.setdefault(row[1] // EVERY * EVERY, []).append(row[2:])
        table = {}
        for at, readings in cells.items():
            columns = [[reading[i] for reading in readings if reading[i] is not None] for i in range(2)]
            table[at] = [None if not c else c[-1] if aggregate == "last" else sum(c) / len(c) for c in columns]
        runs, times = [], sorted(table)
        for at in times:
            if runs and at - runs[-1][-1] <= LONGEST:
                runs[-1].append(at)
            else:
                runs.append([at])
        for number, run in enumerate(runs):
            name = unit
            if gaps == "split" and number:
                name = f"{unit}@{pd.Timestamp(run[0], unit='s').strftime('%Y-%m-%dT%H:%M:%S')}Z"
            wanted = range(run[0], run[-1] + 1, EVERY) if gaps in ("last", "interpolate") else run
            for at in wanted:
                values = list(table.get(at, [None, None]))
                for i in range(2):
                    given_at = [t for t in run if table[t][i] is not None]
                    back = [t for t in given_at if t < at]
                    ahead = [t for t in given_at if t > at]
                    if values[i] is None and gaps == "last" and back and at - back[-1] <= LONGEST:
                        values[i] = table[back[-1]][i]
                    if (
                        values[i] is None
                        and gaps == "interpolate"
                        and back
                        and ahead
                        and ahead[0] - back[-1] <= LONGEST
                    ):
                        low, high = table[back[-1]][i], table[ahead[0]][i]
                        values[i] = low + (high - low) * (at - back[-1]) / (ahead[0] - back[-1])
                out[name, at] = values
    return out


def cells(frame):
    return {
        (row.unit, row.time // S): [None if math.isnan(v) else v for v in (row.flow, row.pressure)]
        for row in frame.itertuples()
    }


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        assert found[key] == [None if v is None else pytest.approx(v, abs=1e-9) for v in values], key


value = st.one_of(st.none(), st.floats(-100, 100).map(lambda v: round(v, 3)))
drawn = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 400), value, value),
    min_size=1,
    max_size=30,
    unique_by=lambda row: row[:2],
)


@given(drawn, st.sampled_from(GAPS), st.sampled_from(["mean", "last"]))
def test_rows_are_those_of_the_oracle(rows, gaps, aggregate):
    found = resample(frame_of(rows), rule_of(gaps, aggregate))
    assert_same(cells(found.rows), oracle(rows, gaps, aggregate))


@given(drawn, st.sampled_from(GAPS), st.integers(1, 5))
def test_rows_cut_into_batches_are_those_of_one(rows, gaps, pieces):
    if gaps == "interpolate":  # a missing value at the end of a batch waits for one that is not there yet
        rows = [(unit, at, flow or 0.0, pressure or 0.0) for unit, at, flow, pressure in rows]
    frame = frame_of(rows)
    edges = np.linspace(0, 410, pieces + 1).astype(int) // EVERY * EVERY * S
    before, parts = {}, []
    for low, high in zip(edges[:-1], [*edges[1:-1], 10**18], strict=True):
        part = frame[(frame["time"] >= low) & (frame["time"] < high)].reset_index(drop=True)
        if len(part):
            done = resample(part, rule_of(gaps), before)
            before = done.after
            parts.append(done.rows)
    assert_same(cells(pd.concat(parts)), cells(resample(frame, rule_of(gaps)).rows))


@given(drawn, st.sampled_from(GAPS))
def test_no_row_lies_in_a_gap_longer_than_allowed(rows, gaps):
    found = resample(frame_of(rows), rule_of(gaps))
    for unit in ("a", "b"):
        real = sorted({row[1] // EVERY * EVERY for row in rows if row[0] == unit})
        ended = [run for run in found.runs if run.unit.split("@")[0] == unit and run.ended_by is not None]
        long = [(low, high) for low, high in itertools.pairwise(real) if high - low > LONGEST]
        assert [(run.end // S, (run.end + run.ended_by) // S) for run in ended] == long
        times = found.rows.loc[found.rows["unit"].str.split("@").str[0] == unit, "time"] // S
        assert not any(low < at < high for low, high in long for at in times)


@given(drawn, st.sampled_from(GAPS))
def test_what_is_filled_is_counted(rows, gaps):
    found = resample(frame_of(rows), rule_of(gaps))
    plain = resample(frame_of(rows), rule_of("keep"))
    assert found.inserted_rows == len(found.rows) - len(plain.rows)
    known = [int(result.rows[SENSORS].notna().to_numpy().sum()) for result in (found, plain)]
    assert found.filled_cells == known[0] - known[1]


@given(drawn)
def test_readings_become_the_table_they_came_from(rows):
    long = [
        {"unit": unit, "time": at * S, "tag": tag, "value": reading}
        for unit, at, *values in rows
        for tag, reading in zip(SENSORS, values, strict=True)
        if reading is not None
    ]
    if not long:
        return
    expected = {row[:2]: list(row[2:]) for row in rows if row[2] is not None or row[3] is not None}
    assert_same(cells(pivot(pd.DataFrame(long).sample(frac=1, random_state=0), SENSORS)), expected)


def test_a_run_behind_a_gap_is_a_unit_of_its_own_when_split():
    found = resample(frame_of([("a", 0, 1, 1), ("a", 10, 1, 1), ("a", 100, 1, 1)]), rule_of("split"))
    assert found.rows["unit"].tolist() == ["a", "a", "a@1970-01-01T00:01:40Z"]
