"""The HTTP connector against a server in a thread: cursor, since, ETag; stopped and started again."""

import json

import pytest

from infra.services.program import free_port
from vae_pipeline.errors import ConnectorError, DataError
from vae_pipeline_tests.connectors.servers import Answers
from vae_pipeline_tests.connectors.stand_ins import config_of, files, keys, pulled, reading, set_aside


class Plant:
    """Readings behind an address, ``page`` at a time, in the ways that addresses have."""

    def __init__(self, count, page=4):
        self.count, self.page, self.hits, self.break_after = count, page, 0, None
        self.as_csv = False

    def __call__(self, path, parameters, headers):  # noqa: PLR0911 - one for each way
        self.hits += 1
        if self.break_after is not None and self.hits > self.break_after:
            return 503, {}, b"overloaded"
        items = [reading(n) for n in range(self.count)]
        if path == "/cursor":
            start = int(parameters.get("after", 0))
            stop = min(start + self.page, self.count)
            answer = {"data": {"items": items[start:stop]}, "next": str(stop)}
            return 200, {}, json.dumps(answer).encode()
        if path == "/since":
            start = int(float(parameters.get("since", 0)))
            rows = items[start : start + self.page]
            if self.as_csv:
                lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)] if rows else []
                return 200, {}, "\n".join(lines).encode()
            return 200, {}, json.dumps(rows).encode()
        if path == "/secret" and headers.get("Authorization") != "Bearer opens":
            return 401, {}, b"no"
        tag = f'"{self.count}"'
        if headers.get("If-None-Match") == tag:
            return 304, {}, b""
        return 200, {"ETag": tag}, json.dumps(items).encode()


@pytest.fixture
def plant():
    found = Plant(10)
    found.server = Answers(found)
    yield found
    found.server.stop()


def source_of(plant, way):
    ways = {
        "cursor": {"rows": "data.items", "cursor": {"parameter": "after", "field": "next"}},
        "since": {"since": {"parameter": "since", "column": "at"}},
        "etag": {},
    }
    return {"kind": "http", "url": f"{plant.server.url}/{way}", **ways[way]}


def once(tmp_path, source, **other):
    return pulled(tmp_path, config_of(source, **other))


WAYS = pytest.mark.parametrize("way", ["cursor", "since", "etag"])


@WAYS
def test_rows_that_appear_are_read_once(plant, tmp_path, way):
    once(tmp_path, source_of(plant, way), batch={"rows": 3})
    plant.count = 15
    found = once(tmp_path, source_of(plant, way))
    assert found.rows == 5
    assert keys(tmp_path) == [("p0", n) for n in range(15)]


@WAYS
def test_nothing_new_gives_no_batch(plant, tmp_path, way):
    once(tmp_path, source_of(plant, way))
    before = files(tmp_path)
    assert once(tmp_path, source_of(plant, way)).rows == 0
    assert files(tmp_path) == before


@pytest.mark.parametrize("way", ["cursor", "since"])
def test_a_server_that_fails_half_way_loses_and_repeats_nothing(plant, tmp_path, way):
    plant.break_after = 2
    with pytest.raises(ConnectorError, match="answers 503 Service Unavailable; try again later"):
        once(tmp_path, source_of(plant, way), batch={"rows": 4})
    assert 0 < len(keys(tmp_path)) < 10
    plant.break_after = None
    once(tmp_path, source_of(plant, way))
    assert keys(tmp_path) == [("p0", n) for n in range(10)]


@WAYS
def test_a_server_stopped_and_started_again_loses_and_repeats_nothing(plant, tmp_path, way):
    port = free_port()
    plant.server.stop()
    plant.server = Answers(plant, port)
    once(tmp_path, source_of(plant, way))
    plant.server.stop()
    source = source_of(plant, way)
    with pytest.raises(ConnectorError, match="does not answer"):
        once(tmp_path, source)
    plant.count = 13
    plant.server = Answers(plant, port)
    once(tmp_path, source)
    assert keys(tmp_path) == [("p0", n) for n in range(13)]


def test_csv_is_read_like_json(plant, tmp_path):
    plant.as_csv = True
    once(tmp_path, {**source_of(plant, "since"), "format": "csv"})
    assert keys(tmp_path) == [("p0", n) for n in range(10)]


def test_a_token_comes_from_the_environment(plant, tmp_path, monkeypatch):
    monkeypatch.setenv("PLANT_TOKEN", "opens")
    source = {**source_of(plant, "etag"), "url": f"{plant.server.url}/secret", "token": {"env": "PLANT_TOKEN"}}
    assert once(tmp_path, source).rows == 10
    monkeypatch.setenv("PLANT_TOKEN", "guessed")
    with pytest.raises(ConnectorError, match="401 Unauthorized; check its user, password or token") as told:
        once(tmp_path / "other", source)
    assert "guessed" not in str(told.value)


def test_an_answer_larger_than_allowed_is_refused(plant, tmp_path):
    with pytest.raises(ConnectorError, match=r"larger than most_megabytes = 0\.0001"):
        once(tmp_path, {**source_of(plant, "etag"), "most_megabytes": 0.0001})


@pytest.mark.parametrize(
    ("status", "advice"),
    [(301, "check 'url'"), (400, "check 'url'"), (429, "raise 'every'"), (408, "try again"), (503, "try again")],
)
def test_an_answer_says_whether_to_correct_or_to_wait(tmp_path, status, advice):
    server = Answers(lambda *_: (status, {}, b""))
    with pytest.raises(ConnectorError, match=f"answers {status} .*; .*{advice}"):
        once(tmp_path, {"kind": "http", "url": server.url})
    server.stop()


def test_an_answer_that_is_no_json_is_told(tmp_path):
    server = Answers(lambda *_: (200, {}, b"<html>"))
    with pytest.raises(DataError, match=r"no JSON .*; correct 'format'"):
        once(tmp_path, {"kind": "http", "url": server.url})
    server.stop()


def test_a_value_that_is_no_number_is_set_aside(tmp_path):
    server = Answers(lambda *_: (200, {}, json.dumps([reading(0), reading(1, flow="n/k")]).encode()))
    found = once(tmp_path, {"kind": "http", "url": server.url})
    server.stop()
    assert (found.rows, found.refused) == (1, 1)
    assert set_aside(tmp_path)[0]["row"]["flow"] == "n/k"
