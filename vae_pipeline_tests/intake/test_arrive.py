"""What counts as a batch in incoming, and when it is complete."""

import os
from pathlib import Path

import pytest

from vae_pipeline.intake.arrive import SETTLED, arrival, arrivals
from vae_pipeline.storage import Storage

pytestmark = pytest.mark.services


@pytest.fixture
def incoming(any_root, tmp_path):
    return Storage(any_root, tmp_path / "cache")


def put(incoming, *keys, text="a,b\n1,2\n"):
    for key in keys:
        incoming.write_text(f"timeseries/{key}", text)


def names(incoming, dataset=None):
    return [each.key for each in arrivals(incoming, "timeseries", dataset)]


def test_nothing_lies_where_there_is_no_folder(incoming):
    assert arrivals(incoming, "timeseries") == []


def test_files_and_folders_are_batches_markers_and_unfinished_ones_are_not(incoming):
    put(incoming, "fan/a.csv", "fan/clips/normal/1.wav", "fan/clips/normal/2.wav")
    put(incoming, "fan/b.csv.done", "fan/.hidden", "fan/c.csv.part", "fan/d.tmp", "stray.csv", "pump/e.zip")
    assert names(incoming) == ["fan/a.csv", "fan/clips", "pump/e.zip"]
    assert names(incoming, "pump") == ["pump/e.zip"]
    clips = arrival(incoming, "timeseries", "fan", "clips")
    assert clips is not None
    assert (clips.folder, len(clips.files)) == (True, 2)


def test_another_line_is_not_looked_at(incoming):
    incoming.write_text("vision/bottle/a.zip", "-")
    assert names(incoming) == []


def test_a_batch_is_complete_when_it_stayed_the_same(incoming):
    put(incoming, "fan/a.csv")
    (first,) = arrivals(incoming, "timeseries")
    assert not first.complete({})
    assert first.complete({first.key: first.look})
    put(incoming, "fan/a.csv", text="a,b\n1,2\n3,4\n")
    (second,) = arrivals(incoming, "timeseries")
    assert not second.complete({first.key: first.look})


def test_a_marker_makes_it_complete_at_once(incoming):
    put(incoming, "fan/a.csv", "fan/a.csv.done")
    (found,) = arrivals(incoming, "timeseries")
    assert found.complete({})
    assert found.settled(found.time)


def test_a_marker_that_an_earlier_batch_left_says_nothing(tmp_path):
    incoming = Storage(str(tmp_path), tmp_path / "cache")
    put(incoming, "fan/a.csv.done", "fan/a.csv")
    os.utime(tmp_path / "timeseries/fan/a.csv.done", (1e9, 1e9))
    (found,) = arrivals(incoming, "timeseries")
    assert not found.complete({})


def test_a_folder_with_an_unfinished_file_is_not_complete_even_with_a_marker(incoming):
    put(incoming, "fan/clips/1.wav", "fan/clips/2.wav.part", "fan/clips.done")
    (found,) = arrivals(incoming, "timeseries")
    assert not found.complete({found.key: found.look})
    assert not found.settled(found.time + 2 * SETTLED)


def test_one_more_file_in_a_folder_is_a_change(incoming):
    put(incoming, "fan/clips/1.wav")
    (first,) = arrivals(incoming, "timeseries")
    put(incoming, "fan/clips/2.wav")
    (second,) = arrivals(incoming, "timeseries")
    assert first.look != second.look


def test_without_an_earlier_look_a_minute_of_rest_counts(incoming):
    put(incoming, "fan/a.csv")
    (found,) = arrivals(incoming, "timeseries")
    assert not found.settled(found.time + SETTLED - 1)
    assert found.settled(found.time + SETTLED)


def test_a_change_of_time_alone_is_a_change(tmp_path):
    incoming = Storage(str(tmp_path), tmp_path / "cache")
    put(incoming, "fan/a.csv")
    (first,) = arrivals(incoming, "timeseries")
    os.utime(Path(tmp_path, "timeseries/fan/a.csv"), ns=(1, 1))
    (second,) = arrivals(incoming, "timeseries")
    assert first.look != second.look
