"""Rows wait for a window of their unit, and what was held back is cut into batches that intake takes."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_pipeline.connectors.cutting import cuts, ripe
from vae_pipeline.connectors.pull import Names, pull
from vae_pipeline.intake.receive import receive
from vae_pipeline_tests.builders.batches import plant, pumps
from vae_pipeline_tests.connectors.stand_ins import (
    Listed,
    batches,
    config_of,
    facts,
    files,
    keys,
    reading,
    storage_in,
    written,
)
from vae_pipeline_tests.connectors.test_pull import LONG, in_tags


def test_what_a_connector_brings_is_taken_by_intake(tmp_path):
    made = plant(tmp_path / "plant")
    raw, names = made.raw(tmp_path / "raw"), Names(unit="pump", time="second")
    config = config_of(
        columns={
            "unit": "pump",
            "time": "second",
            "sensors": ["pressure", "flow", "temperature"],
            "clock": "number",
        },
        batch={"rows": 30},
    )
    rows = pumps(5, 15, seed=9).sort_values(["second", "pump"]).to_dict(orient="records")
    taken = 0
    for minute in range(1, 6):  # three rows of each pump; the window needs ten
        connector = Listed(rows[: 15 * minute], fetch=15)
        pull(connector, made.storage, config, names, incoming=made.incoming, least=made.dataset.window.length)
        for batch in sorted(made.door.glob("*.parquet")):
            found = receive(
                made.dataset, batch.name, raw=raw, storage=made.storage, incoming=made.incoming, scratch=tmp_path / "s"
            )
            assert found.outcome == "accepted", found.reason
            taken += found.rows
    assert taken == 5 * 12


def test_a_units_rows_wait_until_it_fills_a_window(tmp_path):
    items = [reading(n) for n in range(7)] + [reading(0, "p1")]
    found = pull(Listed(items[:3]), storage_in(tmp_path), config_of(), least=4)
    assert (found.rows, found.held, files(tmp_path)) == (0, 3, [])
    found = pull(Listed(items), storage_in(tmp_path), config_of(), least=4)
    assert (found.rows, found.held) == (7, 1)
    pull(Listed(items), storage_in(tmp_path), config_of(), least=4, flush=True)
    assert keys(tmp_path) == [*(("p0", n) for n in range(7)), ("p1", 0)]


def test_late_rows_wait_for_a_window_of_their_own(tmp_path):
    items = [reading(n) for n in (0, 10, 20, 5, 6, 7)]
    for count, expected in ((3, (3, 0, 0)), (5, (0, 2, 2)), (6, (3, 0, 1))):
        found = pull(Listed(items[:count], fetch=1), storage_in(tmp_path), config_of(), least=3)
        assert (found.rows, found.held, found.late) == expected
    assert [(fact.rows, fact.late) for fact in facts(tmp_path)] == [(3, False), (3, True)]


def test_what_was_held_back_comes_in_batches_of_bounded_size(tmp_path):
    items = [reading(n, f"p{unit}") for n in range(12) for unit in range(5)]
    config = config_of(batch={"rows": 10})
    pull(Listed(items, fetch=10), storage_in(tmp_path), config, least=4)
    assert keys(tmp_path) == sorted((f"p{unit}", n) for n in range(12) for unit in range(5))
    assert max(len(batch) for batch in batches(tmp_path)) <= 10
    assert min(batch.groupby("unit").size().min() for batch in batches(tmp_path)) >= 4


def test_what_is_held_longer_than_repeats_are_known_is_written_once(tmp_path):
    items = [reading(n, f"p{unit}") for n in range(3) for unit in range(20)]
    config = config_of(batch={"rows": 5}, window=5)
    storage = storage_in(tmp_path)
    pull(Listed(items, fetch=5), storage, config, least=10)
    found = pull(Listed(items, fetch=5, again=60), storage, config, least=10, flush=True)
    assert (found.repeated, found.late) == (60, 0)
    assert keys(tmp_path) == sorted((f"p{unit}", n) for n in range(3) for unit in range(20))


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["p0", "p1"])), max_size=40),
    st.booleans(),
    st.integers(1, 7),
    st.integers(1, 9),
    st.integers(0, 10),
    st.integers(1, 6),
)
def test_every_row_comes_once_however_long_it_waits(tmp_path_factory, times, long, fetch, most, again, least):
    folder = tmp_path_factory.mktemp("drawn")
    items = [item for number, pump in times for item in (in_tags(number, pump) if long else [reading(number, pump)])]
    config = config_of(batch={"rows": most}, **({"columns": LONG} if long else {}))
    for end, flush in ((len(items) // 2, False), (len(items), False), (len(items), True)):
        pull(Listed(items[:end], fetch=fetch, again=again), storage_in(folder), config, least=least, flush=flush)
    rows = [(pump, number) for number, pump in times]
    if not long:  # in tags, half of a row may come too late for the other half
        assert keys(folder) == sorted(set(rows))
    assert set(keys(folder)) == set(rows)


@pytest.mark.parametrize("gaps", ["keep", "last"])
def test_a_unit_cut_into_batches_is_resampled_as_one(tmp_path, gaps):
    items = [reading(n) for n in range(0, 20, 2)]
    rule = {"every": "1s", "gaps": gaps, "longest": "4s"}
    pull(Listed(items), storage_in(tmp_path / "one"), config_of(resample=rule), least=4)
    for end in (4, 10):
        config = config_of(resample=rule, batch={"rows": 6})
        pull(Listed(items[:end], fetch=3), storage_in(tmp_path / "cut"), config, least=4)
    assert len(batches(tmp_path / "cut")) == 2
    pd.testing.assert_frame_equal(written(tmp_path / "cut"), written(tmp_path / "one"))


def test_a_run_that_a_gap_began_waits_where_runs_are_units(tmp_path):
    rule = {"every": "1s", "gaps": "split", "longest": "2s"}
    items = [reading(n) for n in (0, 1, 2, 20, 21, 22, 23, 24)]
    found = pull(Listed(items[:5]), storage_in(tmp_path), config_of(resample=rule), least=4)
    assert found.rows == 0
    found = pull(Listed(items), storage_in(tmp_path), config_of(resample=rule), least=4)
    assert sorted(written(tmp_path)["unit"].unique()) == ["p0", "p0@1970-01-01T00:00:20Z"]
    assert (found.rows, found.held) == (7, 1)


def test_a_unit_of_short_runs_does_not_wait_for_ever():
    at = pd.Series([10 * run + n for run in range(20) for n in range(2)])
    units = pd.Series(["p0"] * len(at))
    assert not ripe(units[:38], at[:38].to_numpy(), least=4, grows=False, longest=1).any()
    assert ripe(units, at.to_numpy(), least=4, grows=False, longest=1).all()


@settings(max_examples=50)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=8), st.integers(1, 3), st.integers(1, 20), st.integers(1, 12))
def test_cuts_hold_every_row_once_and_keep_units_long_enough(counts, tags, most, least):
    rows = pd.DataFrame(
        [(f"u{unit}", n) for unit, count in enumerate(counts) for n in range(count) for _ in range(tags)],
        columns=["unit", "at"],
    )
    parts = [rows.iloc[part] for part in cuts(rows["unit"], rows["at"].to_numpy(), most=most, least=least)]
    pd.testing.assert_frame_equal(pd.concat(parts), rows)
    for part in parts:
        times = part.drop_duplicates().groupby("unit").size()
        assert all(times[unit] >= min(least, counts[int(unit[1:])]) for unit in times.index)
        assert times.sum() <= max(most, 2 * least - 1)
