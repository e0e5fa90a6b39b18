"""What a pull promises, whatever the source: bounded batches, no row lost, none twice, whenever it is killed."""

import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_pipeline.connectors import keeping
from vae_pipeline.connectors.pull import pull
from vae_pipeline.errors import ConnectorError, DataError, StorageError
from vae_pipeline.storage import Storage
from vae_pipeline_tests.connectors.stand_ins import (
    Listed,
    batches,
    config_of,
    facts,
    files,
    keys,
    reading,
    set_aside,
    storage_in,
    written,
)

LONG = {"unit": "pump", "time": "at", "tag": "tag", "value": "value", "sensors": ["flow", "pressure"], "clock": "s"}


def in_tags(number, pump="p0"):
    return [{"pump": pump, "at": number, "tag": tag, "value": number} for tag in ("flow", "pressure", "other")]


def all_of(count, pump="p0"):
    return [(pump, number) for number in range(count)]


def test_what_a_source_has_lies_in_incoming_once(tmp_path):
    connector, config = Listed([reading(n) for n in range(7)]), config_of(batch={"rows": 3})
    found = pull(connector, storage_in(tmp_path), config)
    assert keys(tmp_path) == all_of(7)
    assert found.rows == 7
    assert [key.rpartition("/")[0] for key in found.batches] == ["incoming/timeseries/pumps"] * len(found.batches)
    assert written(tmp_path)["flow"].tolist() == [float(n) for n in range(7)]
    assert connector.acknowledged[-1] == 7


def test_batches_are_bounded_by_rows(tmp_path):
    pull(Listed([reading(n) for n in range(11)]), storage_in(tmp_path), config_of(batch={"rows": 4}))
    assert [len(batch) for batch in batches(tmp_path)] == [4, 4, 3]


def test_batches_are_bounded_by_memory(tmp_path):
    pull(Listed([reading(n) for n in range(6)]), storage_in(tmp_path), config_of(batch={"megabytes": 0.0001}))
    assert [len(batch) for batch in batches(tmp_path)] == [2, 2, 2]


def test_a_batch_does_not_wait_longer_than_stated(tmp_path):
    times = iter(range(0, 1000, 10))
    config = config_of(batch={"seconds": 15})
    pull(Listed([reading(n) for n in range(8)]), storage_in(tmp_path), config, clock=lambda: next(times))
    assert len(batches(tmp_path)) > 1
    assert keys(tmp_path) == all_of(8)


def test_a_second_pull_over_the_same_rows_writes_nothing(tmp_path):
    connector = Listed([reading(n) for n in range(5)], again=5)
    pull(connector, storage_in(tmp_path), config_of())
    before = files(tmp_path)
    again = pull(connector, storage_in(tmp_path), config_of())
    assert files(tmp_path) == before
    assert (again.rows, again.repeated) == (0, 5)


def test_new_rows_go_on_where_the_last_pull_stood(tmp_path):
    items = [reading(n) for n in range(5)]
    pull(Listed(items), storage_in(tmp_path), config_of())
    pull(Listed(items + [reading(n) for n in range(5, 9)]), storage_in(tmp_path), config_of())
    assert keys(tmp_path) == all_of(9)


def test_a_repeat_with_other_values_is_told_and_the_first_stays(tmp_path):
    items = [reading(1), reading(1, flow=99.0), reading(2)]
    found = pull(Listed(items), storage_in(tmp_path), config_of())
    assert (found.repeated, found.changed) == (1, 1)
    assert written(tmp_path)["flow"].tolist() == [1.0, 2.0]
    assert any("with other values" in note for note in found.notes)


def test_rows_out_of_order_are_sorted_and_told(tmp_path):
    found = pull(Listed([reading(n) for n in (0, 3, 1, 2)], fetch=4), storage_in(tmp_path), config_of())
    assert written(tmp_path)["flow"].tolist() == [0.0, 1.0, 2.0, 3.0]
    assert found.backwards == 1
    assert any("clock went backwards" in note for note in found.notes)


def test_rows_later_than_what_was_written_are_in_a_batch_of_their_own(tmp_path):
    items = [reading(n) for n in (0, 5)]
    pull(Listed(items), storage_in(tmp_path), config_of())
    found = pull(Listed([*items, reading(3), reading(6)]), storage_in(tmp_path), config_of())
    assert keys(tmp_path) == [("p0", n) for n in (0, 3, 5, 6)]
    assert found.late == 1
    assert [fact.rows for fact in facts(tmp_path) if fact.late] == [1]
    assert [path.stem.endswith("-late") for path in files(tmp_path)].count(True) == 1


@pytest.mark.parametrize("rule", [None, {"every": "1s", "gaps": "keep", "longest": "9s"}], ids=["plain", "resampled"])
def test_the_units_written_last_are_remembered_and_no_others(tmp_path, rule):
    config, items = config_of(units=3, resample=rule), []

    def after(number, pump):
        items.append(reading(number, pump))
        found = pull(Listed(items), storage_in(tmp_path), config, flush=True)
        state = json.loads(max((tmp_path / "storage/connectors/pumps").glob("*.json")).read_text())
        return list(state["units"]), found.late

    for pump in ("p3", "p1", "p2"):
        after(5, pump)
    assert after(6, "p3") == (["p1", "p2", "p3"], 0)
    assert after(5, "p0") == (["p2", "p3", "p0"], 0)
    assert after(4, "p2") == (["p2", "p3", "p0"], 1)  # what is late is no later write
    assert after(4, "p1") == (["p3", "p0", "p1"], 0)  # forgotten, so it begins anew


def test_rows_that_cannot_be_read_are_set_aside_with_their_reason(tmp_path):
    items = [reading(0), reading(1, flow="n/k"), {"pump": "p0", "at": None, "flow": 1, "pressure": 1}, reading(3)]
    found = pull(Listed(items, keeps=False), storage_in(tmp_path), config_of())
    assert keys(tmp_path) == [("p0", 0), ("p0", 3)]
    assert [item["reason"] for item in set_aside(tmp_path)] == [
        "column 'flow': 'n/k' is no number",
        "column 'at': None is no time in s since 1970",
    ]
    assert set_aside(tmp_path)[0]["row"]["flow"] == "n/k"
    assert found.refused == 2


def test_rows_set_aside_and_given_again_are_set_aside_once(tmp_path):
    items = [reading(0), reading(1, flow="n/k")]
    for _ in range(2):
        pull(Listed(items, keeps=False, again=2), storage_in(tmp_path), config_of())
    assert len(set_aside(tmp_path)) == 1


def test_a_missing_column_of_a_source_that_keeps_its_rows_stops_the_pull(tmp_path):
    items = [{"pump": "p0", "at": 1, "flow": 1.0}]
    with pytest.raises(DataError, match="'pressure' is missing; it has pump, at, flow"):
        pull(Listed(items), storage_in(tmp_path), config_of())
    assert files(tmp_path) == []


def test_readings_in_tags_become_rows_however_they_are_cut(tmp_path):
    items = [item for number in range(4) for item in in_tags(number)]
    found = pull(Listed(items, fetch=1), storage_in(tmp_path), config_of(columns=LONG, batch={"rows": 2}), flush=True)
    assert keys(tmp_path) == all_of(4)
    assert not written(tmp_path).isna().any().any()
    assert found.other_tags == 4


def test_a_time_that_may_still_grow_is_held_back(tmp_path):
    items = [item for number in range(3) for item in in_tags(number)]
    found = pull(Listed(items[:-2]), storage_in(tmp_path), config_of(columns=LONG))
    assert (keys(tmp_path), found.held) == (all_of(2), 1)
    pull(Listed(items), storage_in(tmp_path), config_of(columns=LONG), flush=True)
    assert keys(tmp_path) == all_of(3)
    assert not written(tmp_path).isna().any().any()


@settings(max_examples=25)
@given(st.lists(st.integers(0, 40), max_size=60), st.integers(1, 7), st.integers(1, 9), st.integers(0, 10))
def test_every_row_comes_once_however_a_source_cuts_and_repeats(tmp_path_factory, times, fetch, most, again):
    folder = tmp_path_factory.mktemp("drawn")
    for end in (len(times) // 2, len(times)):
        connector = Listed([reading(n) for n in times[:end]], fetch=fetch, again=again)
        pull(connector, storage_in(folder), config_of(batch={"rows": most}))
    assert keys(folder) == [("p0", n) for n in sorted(set(times))]


class Killed(BaseException):
    """Stands for the end of the process."""


STEPS = ["write_bytes", "_decide", "_bring_out", "move", "remove", "acknowledge"]


@pytest.mark.parametrize("long", [False, True], ids=["wide", "long"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("step", STEPS)
def test_a_process_that_dies_at_any_step_neither_loses_nor_repeats(tmp_path, monkeypatch, step, count, after, long):
    items = [item for n in range(6) for item in (in_tags(n) if long else [reading(n), reading(n, "p1")])]
    config = config_of(batch={"rows": 3}, **({"columns": LONG} if long else {}))
    storage, connector = storage_in(tmp_path), Listed(items, fetch=1, again=4)
    left = iter(range(count))
    place = {"_decide": keeping.Keeper, "_bring_out": keeping.Keeper, "acknowledge": Listed}.get(step, type(storage))
    original = getattr(place, step)

    def dying(*arguments):
        last = next(left, None) == count - 1
        if last and not after:
            raise Killed
        done = original(*arguments)
        if last:
            raise Killed
        return done

    with monkeypatch.context() as patch:
        patch.setattr(place, step, dying)
        with pytest.raises(Killed):
            pull(connector, storage, config, flush=True)
    again = Listed(items, fetch=2, again=4)  # the source cuts in another way the second time
    pull(again, storage_in(tmp_path), config, flush=True)
    assert keys(tmp_path) == sorted([(pump, n) for n in range(6) for pump in (("p0",) if long else ("p0", "p1"))])
    assert not written(tmp_path).isna().any().any()


def test_a_batch_that_was_taken_away_before_a_crash_is_not_brought_again(tmp_path, monkeypatch):
    connector = Listed([reading(n) for n in range(4)])
    with monkeypatch.context() as patch:
        patch.setattr(Listed, "acknowledge", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            pull(connector, storage_in(tmp_path), config_of())
    for path in files(tmp_path):
        path.unlink()  # the sensor was there
    pull(Listed([reading(n) for n in range(4)], again=4), storage_in(tmp_path), config_of())
    assert files(tmp_path) == []


KILLED_FOR_REAL = """
    import os, signal, sys
    from pathlib import Path
    from vae_pipeline.connectors.pull import pull
    from vae_pipeline.storage import Storage
    from vae_pipeline_tests.connectors.stand_ins import Listed, config_of, reading, storage_in

    original = getattr(Storage, sys.argv[2])
    def dying(self, *arguments):
        done = original(self, *arguments)
        if arguments[0].endswith(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        return done
    setattr(Storage, sys.argv[2], dying)
    pull(Listed([reading(n) for n in range(9)]), storage_in(Path(sys.argv[1])), config_of(batch={"rows": 4}))
"""


def test_a_crash_on_the_way_to_a_place_of_its_own_brings_the_same_batch_again(tmp_path, monkeypatch):
    """Of another root there is no move in one step: the intake knows the content, should it have taken the first."""
    door, remove = Storage(str(tmp_path / "door"), tmp_path / "cache"), Storage.remove
    killed = []

    def dies(storage, key):
        if key.endswith(".staged") and not killed:
            killed.append(key)
            raise Killed
        remove(storage, key)

    monkeypatch.setattr(Storage, "remove", dies)
    rows = [reading(n) for n in range(4)]
    with pytest.raises(Killed):
        pull(Listed(rows), storage_in(tmp_path), config_of(), incoming=door)
    (first,) = (tmp_path / "door/timeseries/pumps").glob("*.parquet")
    before = first.read_bytes()
    first.unlink()
    pull(Listed(rows), storage_in(tmp_path), config_of(), incoming=door)
    (again,) = (tmp_path / "door/timeseries/pumps").glob("*.parquet")
    assert (again.name, again.read_bytes()) == (first.name, before)
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("step", "suffix"), [("write_bytes", ".staged"), ("create_text", ".json"), ("move", ".staged")]
)
def test_kill_9_between_batch_and_position_neither_loses_nor_repeats(tmp_path, step, suffix):
    code = textwrap.dedent(KILLED_FOR_REAL)
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), step, suffix], env={**os.environ}, check=False, capture_output=True
    )
    assert ran.returncode == -signal.SIGKILL, ran.stderr.decode()
    pull(Listed([reading(n) for n in range(9)], again=3), storage_in(tmp_path), config_of(batch={"rows": 4}))
    assert keys(tmp_path) == all_of(9)


@pytest.mark.parametrize("name", ["seen", "held"])
def test_a_file_of_where_it_stands_that_is_gone_is_told(tmp_path, name):
    pull(Listed([reading(0)]), storage_in(tmp_path), config_of())
    (kept,) = (tmp_path / "storage/connectors/pumps").glob(f"00000001-*-{name}.parquet")
    kept.unlink()
    with pytest.raises(StorageError, match=rf"00000001\.json .* damaged \(.*-{name}\.parquet is missing\); restore it"):
        pull(Listed([reading(0)]), storage_in(tmp_path), config_of())


def test_an_error_of_the_source_closes_it_and_keeps_what_was_written(tmp_path):
    class Broken(Listed):
        def rows(self, position):
            yield from super().rows(position)
            message = "gone"
            raise ConnectorError(message)

    connector = Broken([reading(n) for n in range(5)])
    with pytest.raises(ConnectorError, match="gone"):
        pull(connector, storage_in(tmp_path), config_of(batch={"rows": 2}))
    assert connector.closed == 1
    pull(Listed([reading(n) for n in range(5)]), storage_in(tmp_path), config_of())
    assert keys(tmp_path) == all_of(5)


def test_a_batch_says_how_its_rows_and_labels_came_about(tmp_path):
    config = config_of(
        resample={"every": "2s", "gaps": "last", "longest": "4s"},
        labels={"rule": "limits", "limits": {"flow": [0, 6]}},
    )
    pull(Listed([reading(n) for n in (0, 1, 4, 5, 20, 21)]), storage_in(tmp_path), config, flush=True)
    (fact,) = facts(tmp_path)
    assert fact.resampled == {"every": "2s", "aggregate": "mean", "gaps": "last", "longest": "4s"}
    assert (fact.inserted_rows, [run.gap_seconds for run in fact.ended_runs]) == (1, [16.0])
    assert fact.labelled_by["normal"] == {"flow": [0.0, 6.0]}
    assert fact.labelled_by["truth"] is False
    assert written(tmp_path)["label"].tolist() == [0, 0, 0, 1]
