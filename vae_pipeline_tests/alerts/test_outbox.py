"""What is added is kept, once; the same is not told again, its end is told once, and no clock silences anything."""

import datetime as dt
import logging
import subprocess
import sys

import pytest

from vae_pipeline.alerts.alert import Alert
from vae_pipeline.alerts.outbox import Outbox, open_outbox, tell
from vae_pipeline.errors import StorageError
from vae_pipeline.settings import load_settings
from vae_pipeline_tests.alerts.builders import NOON, Clock, alert

DAY = dt.date(2026, 3, 5)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def outbox(tmp_path, clock):
    return Outbox(tmp_path / "alerts", repeat=600.0, now=clock)


def texts(outbox):
    return [kept.alert.text for kept in outbox.last(100)]


class TestTheSame:
    def test_is_told_once_and_counted(self, outbox, clock):
        assert outbox.add([alert()])
        clock.time += 599
        assert outbox.add([alert()]) == []
        (kept,) = outbox.last(9)
        assert kept.repeats == 1

    def test_is_told_again_after_a_while_and_says_how_often_it_came(self, outbox, clock):
        outbox.add([alert(), alert(), alert()])
        clock.time += 600
        assert outbox.add([alert()])
        assert outbox.last(1)[0].before == 2

    def test_is_told_at_once_where_it_is_more_severe(self, outbox):
        outbox.add([alert()])
        assert outbox.add([alert(severity="critical")])
        assert outbox.add([alert()]) == []

    def test_of_another_key_is_not_the_same(self, outbox):
        assert len(outbox.add([alert("a"), alert("b")])) == 2

    @pytest.mark.parametrize("step", [-1.0, -1e6, 1e9])
    def test_is_told_where_the_clock_was_set_back_or_forth(self, outbox, clock, step):
        outbox.add([alert()])
        clock.time += step
        assert outbox.add([alert()])

    def test_event_is_taken_once_whatever_happened_since(self, outbox):
        """A sensor that was killed before its cursor was kept tells all of it again."""
        story = [alert(origin="1"), alert(over=True, severity="info", origin="2"), alert(origin="3")]
        assert outbox.add(story) == story
        assert outbox.add(story) == []


class TestTheEnd:
    def test_is_told_once_after_an_alarm(self, outbox):
        outbox.add([alert()])
        assert outbox.add([alert(over=True)])
        assert outbox.add([alert(over=True)]) == []

    def test_is_not_told_without_an_alarm(self, outbox):
        assert outbox.add([alert(over=True)]) == []

    def test_makes_the_next_alarm_a_new_one(self, outbox):
        outbox.add([alert(), alert(over=True)])
        assert outbox.add([alert()])
        assert outbox.add([alert(over=True)])

    def test_of_an_earlier_day_ends_no_alarm_of_a_later_one(self, outbox):
        outbox.add([alert(day=DAY)])
        assert outbox.add([alert(over=True, day=DAY - dt.timedelta(days=1))]) == []
        assert outbox.add([alert(over=True, day=DAY)])

    @pytest.mark.parametrize("hours", [0, 2])
    def test_of_an_alarm_of_a_day_made_up_for_ends_no_alarm_of_a_later_one(self, outbox, clock, hours):
        earlier = DAY - dt.timedelta(days=3)
        outbox.add([alert(day=DAY)])
        clock.time += 3600 * hours  # the later alarm is told again, or only counted
        outbox.add([alert(day=earlier)])
        assert outbox.add([alert(over=True, day=earlier + dt.timedelta(days=1))]) == []
        assert outbox.add([alert(over=True, day=DAY + dt.timedelta(days=1))])


class TestKept:
    def test_all_or_nothing_with_what_was_read(self, outbox):
        class LostError(Exception):
            pass

        def broken():
            yield alert()
            raise LostError

        with pytest.raises(LostError):
            outbox.add(broken(), marks={"a": ["1"]})
        assert outbox.last(9) == []
        assert outbox.marks("a") == set()
        outbox.add([], marks={"a": ["1"], "b": ["2"]}, notes={"n": {"x": 1}})
        outbox.add([], marks={"a": ["1", "3"]}, forget=["b"], notes={"n": None})
        assert (outbox.marks("a"), outbox.marks("b"), outbox.note("n")) == ({"1", "3"}, set(), None)

    def test_an_outbox_that_is_not_there_is_empty(self, outbox):
        assert outbox.last(9) == []
        assert outbox.channels() == {}
        assert outbox.counts() == {}

    def test_only_its_owner_reads_it(self, outbox):
        outbox.add([alert()])
        assert (outbox.folder / "outbox.db").stat().st_mode & 0o077 == 0

    def test_a_damaged_file_is_told_with_what_to_do(self, outbox):
        outbox.folder.mkdir()
        (outbox.folder / "outbox.db").write_bytes(b"no database at all, but long enough" * 100)
        with pytest.raises(StorageError, match=r"outbox\.db: damaged .*move it away"):
            outbox.add([alert()])

    def test_two_processes_add_at_once_and_nothing_is_lost(self):
        code = """
import sys
from vae_pipeline.alerts.outbox import open_outbox
from vae_pipeline.settings import load_settings
from vae_pipeline_tests.alerts.builders import alert
outbox = open_outbox(load_settings())
for number in range(40):
    assert outbox.add([alert(f"{sys.argv[1]} {number}")])
"""
        running = [subprocess.Popen([sys.executable, "-c", code, name]) for name in "ab"]
        assert [process.wait() for process in running] == [0, 0]
        found = texts(open_outbox(load_settings()))
        for name in "ab":
            assert [text for text in found if text.startswith(name)] == [f"{name} {number}" for number in range(40)]

    def test_what_a_killed_process_added_is_there(self):
        code = """
import os, signal
from vae_pipeline.alerts.outbox import open_outbox
from vae_pipeline.settings import load_settings
from vae_pipeline_tests.alerts.builders import alert
outbox = open_outbox(load_settings())
outbox.add([alert("kept")])
def half():
    yield alert("half")
    os.kill(os.getpid(), signal.SIGKILL)
outbox.add(half())
"""
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
        outbox = open_outbox(load_settings())
        assert texts(outbox) == ["kept"]
        assert outbox.add([alert("next")])


class TestTell:
    def test_keeps_and_says_so(self):
        assert tell(load_settings(), alert())
        assert texts(open_outbox(load_settings())) == [alert().text]

    def test_never_raises_and_writes_to_the_log_what_it_cannot_keep(self, home, caplog):
        home.parent.joinpath("home").write_text("a file stands here")
        with caplog.at_level(logging.ERROR):
            assert not tell(load_settings(), alert(text="bearing 4 is hot"))
        assert "bearing 4 is hot" in caplog.text


@pytest.mark.parametrize("text", ["a\nb\x00c", "\ud800 half a letter", "x" * 5000, "\u202eright to left"])
def test_any_text_can_be_kept(outbox, text):
    outbox.add([Alert(kind="data", severity="info", subject=text, text=text, time=NOON, key=text)])
    (found,) = texts(outbox)
    assert found.isprintable()
    assert len(found) <= 2000


def test_of_very_many_the_oldest_are_forgotten(outbox, monkeypatch):
    monkeypatch.setattr("vae_pipeline.alerts.outbox._MOST", 5)
    outbox.meet({"a": "A"})
    outbox.record("a", [1], "delivered", "m")
    for number in range(8):
        outbox.add([alert(f"k{number}", text=f"text {number}")])
    assert texts(outbox) == [f"text {number}" for number in range(3, 8)]
    assert len(outbox.waiting("a")) == 5
    assert sum(outbox.counts().values()) == 8
