"""Rows as they come: each is answered, units keep apart, and a message that cannot be used changes nothing."""

import json
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
from prometheus_client import REGISTRY
from starlette.websockets import WebSocketDisconnect

from vae_pipeline.monitoring.prediction_log import table_of
from vae_pipeline.serving.refused import Overloaded
from vae_pipeline.serving.stream import LONGEST, MOST_ROWS, _Units
from vae_pipeline_tests.detector.examples import columns_of
from vae_pipeline_tests.serving.packed import pack_table, service

CLOSE = {"rtol": 1e-6, "atol": 1e-6}
LENGTH = 20


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A model with as many normal calibration scores as a threshold that moves needs."""
    return pack_table(tmp_path_factory.mktemp("long"), train_units=10, test_units=2, cycles=300)


@pytest.fixture(scope="module")
def rows(packed):
    """Readings of two units of the test file by name, each a list of rows."""
    columns = columns_of(packed.raw / "test.parquet")
    names = packed.detector.description.inputs
    found = {}
    for unit in ("test_001", "test_002"):
        mine = np.flatnonzero(columns["unit"] == unit)[:50]
        found[unit] = [{name: float(columns[name][place]) for name in names} for place in mine]
    return found


@pytest.fixture
def client(packed):
    with service("timeseries", packed, max_units=2) as client:
        yield client


class Line:
    """One connection; what is sent comes back as a list of answers."""

    def __init__(self, socket):
        self.socket = socket

    def text(self, text):
        self.socket.send_text(text)
        return [json.loads(line) for line in self.socket.receive_text().split("\n")]

    def rows(self, *rows):
        return self.text(json.dumps(list(rows)))

    def row(self, unit, row, time=None):
        (answer,) = self.text(json.dumps({"unit": unit, "time": time, "row": row}))
        return answer


@pytest.fixture
def line(client):
    with client.websocket_connect("/stream") as socket:
        yield Line(socket)


def told(unit, rows, first=0):
    return [{"unit": unit, "time": first + place, "row": row} for place, row in enumerate(rows)]


def expected(packed, rows):
    """Scores of the rows as a table of one unit, from the first whole window on."""
    columns = {name: np.array([row[name] for row in rows]) for name in packed.detector.description.inputs}
    return packed.detector.score_table(columns).score


def test_rows_count_down_and_then_score_as_a_table_does(packed, line, rows):
    answers = [line.row("pump", row, time) for time, row in enumerate(rows["test_001"])]
    assert [answer["missing"] for answer in answers[: LENGTH - 1]] == list(range(LENGTH - 1, 0, -1))
    assert {answer["score"] for answer in answers[: LENGTH - 1]} == {None}
    assert [answer["time"] for answer in answers] == list(range(50))
    assert {answer["unit"] for answer in answers} == {"pump"}
    scores = [answer["score"] for answer in answers[LENGTH - 1 :]]
    np.testing.assert_allclose(scores, expected(packed, rows["test_001"]), **CLOSE)
    assert [answer["alarm"] for answer in answers[LENGTH - 1 :]] == [
        answer["score"] > answer["threshold"] for answer in answers[LENGTH - 1 :]
    ]
    assert answers[LENGTH - 1]["threshold"] == pytest.approx(packed.detector.description.threshold.value)


def test_rows_at_once_are_answered_as_rows_one_by_one(client, rows):
    with client.websocket_connect("/stream") as one, client.websocket_connect("/stream?model=tiny") as other:
        singly = [Line(one).row("pump", row, time) for time, row in enumerate(rows["test_001"])]
        several = Line(other).rows(*told("pump", rows["test_001"]))
    assert len(several) == len(singly)
    for at_once, alone in zip(several, singly, strict=True):
        assert {**at_once, "score": 0, "threshold": 0} == {**alone, "score": 0, "threshold": 0} or (
            at_once.keys() == alone.keys() == {"unit", "time", "score", "missing"} and at_once == alone
        )
        if alone["score"] is not None:
            assert at_once["score"] == pytest.approx(alone["score"], rel=1e-6, abs=1e-6)
            assert at_once["threshold"] == pytest.approx(alone["threshold"], rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("at_once", [1, 7])
def test_units_that_take_turns_do_not_mix(packed, line, rows, at_once):
    turns = [
        each for pair in zip(told("a", rows["test_001"]), told("b", rows["test_002"]), strict=True) for each in pair
    ]
    answers = [
        answer for first in range(0, len(turns), at_once) for answer in line.rows(*turns[first : first + at_once])
    ]
    for unit, source in (("a", "test_001"), ("b", "test_002")):
        scores = [answer["score"] for answer in answers if answer["unit"] == unit and answer["score"] is not None]
        np.testing.assert_allclose(scores, expected(packed, rows[source]), **CLOSE)


def test_a_missing_reading_takes_the_last_value(packed, line, rows):
    sent, known = [], []
    for place, row in enumerate(rows["test_001"]):
        partial = dict(row)
        if place % 3 == 1:
            del partial["sensor_2"]
        if place % 5 == 4:
            partial["sensor_3"] = None
        sent.append(partial)
        known.append({name: known[-1][name] if partial.get(name) is None else partial[name] for name in row})
    answers = [line.row("a", row) for row in sent[:25]] + line.rows(*told("a", sent[25:]))
    scores = [answer["score"] for answer in answers if answer["score"] is not None]
    np.testing.assert_allclose(scores, expected(packed, known), **CLOSE)


def test_other_units_and_connections_lend_no_value(client, rows):
    row = rows["test_001"][0]
    partial = {name: value for name, value in row.items() if name != "sensor_2"}
    with client.websocket_connect("/stream") as one, client.websocket_connect("/stream") as other:
        assert Line(one).row("a", row)["missing"] == LENGTH - 1
        for answer in (Line(one).row("b", partial), Line(other).row("a", partial)):
            assert answer["field"] == "row.sensor_2"
            assert "is missing in the first row" in answer["error"]


BAD = {
    "no JSON": "{",
    "not a row": "17",
    "a text": '"row"',
    "no rows": "[]",
    "an unknown field": '{"row": {}, "extra": 1}',
    "no number": '{"unit": "a", "row": {"sensor_1": "high"}}',
    "nan": '{"unit": "a", "row": {"sensor_1": NaN}}',
    "infinite": '{"unit": "a", "row": {"sensor_1": Infinity}}',
    "a long name": json.dumps({"unit": "a" * 201, "row": {}}),
    "an unknown sensor": '{"unit": "a", "row": {"sensor_99": 1.0}}',
}


@pytest.mark.parametrize("kind", BAD)
def test_a_message_that_cannot_be_used_changes_nothing(packed, line, rows, kind):
    mine = rows["test_001"][:30]
    answers = line.rows(*told("a", mine[:24]))
    (refused,) = line.text(BAD[kind])
    assert set(refused) == {"error", "field"}
    assert refused["error"]
    if BAD[kind].startswith("{") and kind not in ("no JSON",):  # rows before a bad one are not kept either
        good = json.dumps({"unit": "a", "row": mine[0]})
        (again,) = line.text(f"[{good}, {BAD[kind]}]")
        assert set(again) == {"error", "field"}
    answers += line.rows(*told("a", mine[24:], 24))
    scores = [answer["score"] for answer in answers if answer["score"] is not None]
    np.testing.assert_allclose(scores, expected(packed, mine), **CLOSE)


def test_a_refusal_names_what_is_wrong(line):
    (unknown,) = line.text(BAD["an unknown sensor"])
    assert unknown["field"] == "row.sensor_99"
    assert "timeseries-tiny; it reads sensor_1" in unknown["error"]
    (infinite,) = line.text(BAD["infinite"])
    assert infinite["field"].startswith("row.sensor_1")


def test_a_message_that_is_too_long_or_of_too_many_rows_is_refused(line, rows):
    (long,) = line.text(json.dumps({"unit": "a", "row": rows["test_001"][0]}) + " " * LONGEST)
    assert long["field"] == "message"
    assert "longer than" in long["error"]
    (many,) = line.rows(*[{"unit": "a", "row": rows["test_001"][0]}] * (MOST_ROWS + 1))
    assert "1,001 rows are more than the 1,000 allowed" in many["error"]
    assert line.row("a", rows["test_001"][0])["missing"] == LENGTH - 1


def test_rows_that_were_refused_because_too_many_wait_can_be_sent_again(packed, client, line, rows, monkeypatch):
    mine = rows["test_001"][:30]
    line.rows(*told("a", mine[:25]))
    server = client.app.state.server
    judged = server.judged

    async def overloaded(*_):
        raise Overloaded(5)

    monkeypatch.setattr(server, "judged", overloaded)
    (refused,) = line.rows(*told("a", mine[25:27], 25))
    assert "5 samples wait already" in refused["error"]
    monkeypatch.setattr(server, "judged", judged)
    answers = line.rows(*told("a", mine[25:], 25))
    np.testing.assert_allclose([answer["score"] for answer in answers], expected(packed, mine)[-5:], **CLOSE)


def test_of_more_units_than_allowed_the_longest_silent_is_forgotten(line, rows):
    row = rows["test_001"][0]
    for unit in ("a", "b", "a", "c"):  # room for two
        line.row(unit, row)
    assert line.row("a", row)["missing"] == LENGTH - 3
    assert line.row("c", row)["missing"] == LENGTH - 2
    assert line.row("b", row)["missing"] == LENGTH - 1


def test_units_of_one_message_are_forgotten_by_the_same_rule(line, rows):
    """The first of three is forgotten; the two others are not, though the first had whole windows."""
    mine = rows["test_001"][:LENGTH]
    answers = line.rows(*told("a", mine), *told("b", mine), *told("c", mine))
    scores = [answer["score"] for answer in answers if answer["score"] is not None]
    assert len(scores) == 3
    assert scores == pytest.approx([scores[0]] * 3, rel=1e-6, abs=1e-6)
    for unit in ("b", "c"):
        assert line.row(unit, mine[-1])["score"] is not None
    assert line.row("a", mine[-1])["missing"] == LENGTH - 1


def counted(client, name, **labels):
    """The value of a metric of the streamed model."""
    return REGISTRY.get_sample_value(name, {"model": "timeseries-tiny", "version": "3", **labels}) or 0.0


def test_what_is_logged_and_counted_of_a_stream_is_what_was_told(packed, rows, monkeypatch):
    with service("timeseries", packed, max_units=2) as client:
        kept = []
        log = SimpleNamespace(add=kept.append, close=lambda: None)
        monkeypatch.setattr(client.app.state.server, "log", log)
        decisions = ((float(number), number % 3 == 0) for number in count(1))  # of no threshold that stays
        monkeypatch.setattr(_Units, "decided", lambda *_: next(decisions))
        before = [
            counted(client, "vae_predictions_total", alarm="true"),
            counted(client, "vae_latency_seconds_count", endpoint="stream"),
            counted(client, "vae_score_count"),
        ]
        with client.websocket_connect("/stream") as socket:
            answers = Line(socket).rows(*told("a", rows["test_001"][:40]))
            answers += Line(socket).rows(*told("a", rows["test_001"][40:]))
        scored = [answer for answer in answers if answer["score"] is not None]
        after = [
            counted(client, "vae_predictions_total", alarm="true"),
            counted(client, "vae_latency_seconds_count", endpoint="stream"),
            counted(client, "vae_score_count"),
        ]
    logged = table_of(kept).to_pylist()
    for name in ("score", "threshold", "alarm"):
        assert [row[name] for row in logged] == [answer[name] for answer in scored]
    assert all(0 < row["latency"] < 60 for row in logged)
    alarms = sum(answer["alarm"] for answer in scored)
    assert np.subtract(after, before).tolist() == [alarms, 2, len(scored)]


def refused_at_once(client, address):
    with client.websocket_connect(address) as socket:
        answer = json.loads(socket.receive_text())
        with pytest.raises(WebSocketDisconnect) as end:
            socket.receive_text()
        return answer, end.value.code


def test_a_model_of_recordings_is_no_stream(packed_table, packed_sound):
    with service("timeseries", packed_table, packed_sound) as client:
        answer, code = refused_at_once(client, "/stream?model=fans")
        assert "reads recordings" in answer["error"]
        assert (answer["field"], code) == ("model", 1008)
        assert "say which" in refused_at_once(client, "/stream")[0]["error"]
        assert "there is no 'tigers' here" in refused_at_once(client, "/stream?model=tigers")[0]["error"]


def test_where_normal_scores_are_too_few_the_fixed_threshold_stays(packed_table, rows):
    fixed = packed_table.detector.description.threshold.value
    with service("timeseries", packed_table) as client, client.websocket_connect("/stream") as socket:
        answers = Line(socket).rows(*told("a", rows["test_001"]))[LENGTH - 1 :]
    np.testing.assert_allclose(
        [answer["score"] for answer in answers], expected(packed_table, rows["test_001"]), **CLOSE
    )
    assert {answer["threshold"] for answer in answers} == {fixed}
    assert [answer["alarm"] for answer in answers] == [answer["score"] > fixed for answer in answers]


def test_other_lines_have_no_stream(packed_image):
    with service("vision", packed_image) as client, pytest.raises(WebSocketDisconnect):
        client.websocket_connect("/stream").__enter__()
