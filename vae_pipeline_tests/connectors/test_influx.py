"""The InfluxDB connector: against an InfluxDB 1.x of its own where one is installed, and against its answers."""

import json

import httpx
import pytest

from infra.services.program import Program, free_port
from vae_pipeline.connectors.connect import open_connector
from vae_pipeline.connectors.pull import pull
from vae_pipeline.errors import ConnectorError
from vae_pipeline_tests.connectors.servers import Answers, installed
from vae_pipeline_tests.connectors.stand_ins import config_of, files, keys, pulled, storage_in, written

COLUMNS = {"unit": "pump", "time": "time", "sensors": ["flow", "pressure"]}
CONFIG = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  query-log-enabled = false
[http]
  bind-address = "127.0.0.1:{port}"
  auth-enabled = true
  log-enabled = false
"""


@pytest.fixture(scope="module")
def influx(tmp_path_factory):
    program, folder, port = installed("influxd", "influxdb"), tmp_path_factory.mktemp("influx"), free_port()
    config = folder / "influx.conf"
    config.write_text(CONFIG.format(folder=folder, port=port, rpc=free_port()))
    server = Program([program, "-config", str(config)], port, folder / "log")
    server.url = f"http://127.0.0.1:{port}"
    ask(server, "CREATE USER reader WITH PASSWORD 'secret' WITH ALL PRIVILEGES")
    yield server
    server.stop()


def ask(server, query):
    answer = httpx.post(f"{server.url}/query", params={"q": query}, auth=("reader", "secret"))
    assert answer.status_code == 200, answer.text


@pytest.fixture
def source(influx, monkeypatch):
    monkeypatch.setenv("PLANT_PASSWORD", "secret")
    ask(influx, "DROP DATABASE plant")
    ask(influx, "CREATE DATABASE plant")
    return {
        "kind": "influxdb",
        "url": influx.url,
        "database": "plant",
        "measurement": "readings",
        "username": "reader",
        "password": {"env": "PLANT_PASSWORD"},
        "fetch": 100,
    }


def write(source, numbers, pump="p0"):
    lines = [f"readings,pump={pump} flow={n},pressure={n / 10} {n * 10**9}" for n in numbers]
    parameters = {"db": "plant"}
    answer = httpx.post(
        f"{source['url']}/write", params=parameters, content="\n".join(lines), auth=("reader", "secret"), timeout=60
    )
    assert answer.status_code == 204, answer.text


def once(tmp_path, source, **other):
    return pulled(tmp_path, config_of(source, **{"columns": COLUMNS, **other}))


def test_points_that_appear_are_read_once(source, tmp_path):
    write(source, range(1, 501))
    write(source, range(1, 301), "p1")
    once(tmp_path, source, batch={"rows": 150})
    write(source, range(501, 551))
    found = once(tmp_path, source)
    assert (found.rows, found.repeated) == (50, 1)
    assert keys(tmp_path) == [*[("p0", n) for n in range(1, 551)], *[("p1", n) for n in range(1, 301)]]
    assert written(tmp_path)["flow"].notna().all()


def test_a_range_of_time_and_machines_can_be_asked_for(source, tmp_path):
    for pump in ("p0", "p1", "it's"):
        write(source, range(10), pump.replace(" ", "\\ "))
    limits = {"start": "1970-01-01T00:00:03Z", "until": "1970-01-01T00:00:06Z", "machines": ["p1", "it's"]}
    once(tmp_path, {**source, **limits})
    assert keys(tmp_path) == [(pump, n) for pump in ("it's", "p1") for n in (3, 4, 5)]


def test_late_points_come_with_an_overlap(source, tmp_path):
    write(source, [1, 2, 5, 6])
    once(tmp_path, {**source, "overlap": "4s"})
    write(source, [4])
    assert once(tmp_path, {**source, "overlap": "4s"}).late == 1
    assert keys(tmp_path) == [("p0", n) for n in (1, 2, 4, 5, 6)]


@pytest.mark.slow
def test_a_server_killed_half_way_and_started_again_loses_and_repeats_nothing(influx, source, tmp_path):
    for start in range(1, 400_001, 50_000):
        write(source, range(start, start + 50_000))
    config = config_of({**source, "fetch": 5000}, columns=COLUMNS, batch={"rows": 10_000})
    connector = open_connector(config)
    fetch, stopped = connector.rows, []

    def stopping(position):
        for number, fetched in enumerate(fetch(position)):
            yield fetched
            if number == 4 and not stopped:
                influx.stop(kill=True)
                stopped.append(number)

    connector.rows = stopping
    with pytest.raises(ConnectorError, match="does not answer"):
        pull(connector, storage_in(tmp_path), config)
    assert 0 < len(keys(tmp_path)) < 400_000
    with pytest.raises(ConnectorError, match="does not answer"):
        pull(connector, storage_in(tmp_path), config)
    influx.start()
    pull(connector, storage_in(tmp_path), config)
    connector.close()
    assert keys(tmp_path) == [("p0", n) for n in range(1, 400_001)]


def test_a_missing_field_or_measurement_is_told(source, tmp_path):
    write(source, range(3))
    with pytest.raises(ConnectorError, match="the field 'level' is missing; it has flow, pressure, pump"):
        once(tmp_path, source, columns={**COLUMNS, "sensors": ["level"]})
    with pytest.raises(ConnectorError, match="measurement pumps: the database 'plant' has no such measurement"):
        once(tmp_path, {**source, "measurement": "pumps"})
    assert files(tmp_path) == []


def test_a_wrong_password_is_told_without_it(source, tmp_path, monkeypatch):
    monkeypatch.setenv("PLANT_PASSWORD", "guessed")
    with pytest.raises(ConnectorError, match=r"401 Unauthorized.*check its user, password or token") as told:
        once(tmp_path, source)
    assert "guessed" not in str(told.value)


class StandIn:
    """Answers as InfluxDB 1.x does, from points in memory; ``cut`` ends an answer after so many chunks."""

    def __init__(self, count):
        self.count, self.cut = count, None

    def __call__(self, _path, parameters, _headers):
        query = parameters["q"]
        if query.startswith("SHOW"):
            names = ["flow", "pressure"] if "FIELD" in query else ["pump"]
            series = {"name": "readings", "columns": ["key"], "values": [[name] for name in names]}
            return 200, {}, json.dumps({"results": [{"series": [series]}]}).encode() + b"\n"
        begin, size = int(query.split("time >= ")[1].split()[0]), int(parameters["chunk_size"])
        points = [[n * 10**9, n, n / 10, "p0"] for n in range(1, self.count + 1) if n * 10**9 >= begin]
        parts = [points[start : start + size] for start in range(0, len(points), size)]
        lines = []
        for number, values in enumerate(parts):
            series = {"name": "readings", "columns": ["time", "flow", "pressure", "pump"], "values": values}
            result = {"series": [series], **({"partial": True} if number < len(parts) - 1 else {})}
            lines.append(json.dumps({"results": [result]}) + "\n")
        body = "".join(lines[: self.cut]) if parts else '{"results":[{"statement_id":0}]}\n'
        return 200, {}, body.encode()


@pytest.fixture
def stand_in():
    found = StandIn(50)
    found.server = Answers(found)
    yield (
        found,
        {"kind": "influxdb", "url": found.server.url, "database": "plant", "measurement": "readings", "fetch": 8},
    )
    found.server.stop()


def test_an_answer_that_ends_half_way_is_not_taken_for_all(stand_in, tmp_path):
    server, source = stand_in
    server.cut = 3
    with pytest.raises(ConnectorError, match="the answer ended half-way"):
        once(tmp_path, source, batch={"rows": 10})
    server.cut = None
    once(tmp_path, source)
    assert keys(tmp_path) == [("p0", n) for n in range(1, 51)]


def test_an_empty_answer_gives_no_batch(stand_in, tmp_path):
    server, source = stand_in
    server.count = 0
    assert once(tmp_path, source).batches == ()
    assert files(tmp_path) == []


def test_an_error_in_the_answer_is_told(tmp_path):
    server = Answers(lambda *_: (200, {}, b'{"results":[{"statement_id":0,"error":"database not found: plant"}]}'))
    with pytest.raises(ConnectorError, match=r"refuses \(database not found: plant\)"):
        once(tmp_path, {"kind": "influxdb", "url": server.url, "database": "plant", "measurement": "readings"})
    server.stop()
