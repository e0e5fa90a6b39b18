"""The SQL connector, on SQLite always and on a PostgreSQL of its own where one is installed."""

import datetime
import tempfile
from pathlib import Path

import pytest
import sqlalchemy

from infra.services.postgres import Postgres, why_not
from vae_pipeline.connectors.connect import open_connector
from vae_pipeline.connectors.pull import pull
from vae_pipeline.errors import ConnectorError
from vae_pipeline.storage import Storage
from vae_pipeline_tests.connectors.stand_ins import config_of, files, keys, pulled, storage_in


@pytest.fixture(scope="module")
def postgres():
    if why := why_not():
        pytest.skip(why)
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        server = Postgres(Path(folder), user="reader", password="secret")
        yield server
        server.stop()


@pytest.fixture(params=["sqlite", "postgres"])
def database(request, tmp_path, monkeypatch):
    """An engine over an empty table ``readings``, and the source that reads it."""
    monkeypatch.setenv("PLANT_PASSWORD", "secret")
    if request.param == "sqlite":
        source = {"url": f"sqlite:///{tmp_path / 'plant.db'}"}
        engine = sqlalchemy.create_engine(source["url"])
    else:
        server = request.getfixturevalue("postgres")
        address = f"127.0.0.1:{server.port}/postgres"
        source = {"url": f"postgresql+psycopg://reader@{address}", "password": {"env": "PLANT_PASSWORD"}}
        engine = sqlalchemy.create_engine(f"postgresql+psycopg://reader:secret@{address}")
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("DROP TABLE IF EXISTS readings"))
        connection.execute(
            sqlalchemy.text(
                "CREATE TABLE readings (id INTEGER PRIMARY KEY, pump TEXT, at TIMESTAMP, flow NUMERIC, pressure REAL)"
            )
        )
    yield engine, {"kind": "sql", "table": "readings", "key": "id", "fetch": 3, **source}
    engine.dispose()


def insert(engine, numbers, first_id=None):
    start = datetime.datetime(1970, 1, 1)
    rows = [
        {
            "id": number if first_id is None else first_id + index,
            "pump": "p0",
            "at": start + datetime.timedelta(seconds=number),
            "flow": number,
            "pressure": number / 10,
        }
        for index, number in enumerate(numbers)
    ]
    columns = [sqlalchemy.column(name) for name in rows[0]]
    columns[2] = sqlalchemy.Column("at", sqlalchemy.DateTime)
    table = sqlalchemy.Table(
        "readings",
        sqlalchemy.MetaData(),
        *(sqlalchemy.Column(column.name, sqlalchemy.DateTime if column.name == "at" else None) for column in columns),
    )
    with engine.begin() as connection:
        connection.execute(table.insert(), rows)


COLUMNS = {"unit": "pump", "time": "at", "sensors": ["flow", "pressure"]}


def once(tmp_path, source, **other):
    return pulled(tmp_path, config_of(source, columns=COLUMNS, **other))


def test_rows_that_appear_are_read_once(database, tmp_path):
    engine, source = database
    insert(engine, range(10))
    assert once(tmp_path, source, batch={"rows": 4}).rows == 10
    insert(engine, range(10, 14))
    found = once(tmp_path, source)
    assert (found.rows, found.repeated) == (4, 1)
    assert keys(tmp_path) == [("p0", n) for n in range(14)]


@pytest.mark.services
def test_batches_land_in_an_object_store_too(database, tmp_path, remote_root):
    engine, source = database
    insert(engine, range(10))
    storage = Storage(remote_root, tmp_path / "cache")
    config = config_of(source, columns=COLUMNS, batch={"rows": 4})
    assert pull(open_connector(config), storage, config).rows == 10
    landed = [held.key for held in storage.files("incoming")]
    assert len([key for key in landed if key.endswith(".parquet")]) >= 2
    assert pull(open_connector(config), storage, config).batches == ()
    assert [held.key for held in storage.files("incoming")] == landed


def test_rows_of_the_last_key_that_appear_later_are_read(database, tmp_path):
    engine, source = database
    source = {**source, "key": "at"}
    insert(engine, range(4))
    once(tmp_path, source)
    insert(engine, [3], first_id=100)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE readings SET pump = 'p1' WHERE id = 100"))
    once(tmp_path, source)
    assert keys(tmp_path) == [*[("p0", n) for n in range(4)], ("p1", 3)]


def test_rows_committed_behind_the_last_key_come_with_an_overlap(database, tmp_path):
    engine, source = database
    insert(engine, [0, 1, 3, 4])
    once(tmp_path, {**source, "overlap": 3})
    insert(engine, [2])
    found = once(tmp_path, {**source, "overlap": 3})
    assert found.late == 1
    assert keys(tmp_path) == [("p0", n) for n in range(5)]


def test_a_query_of_ones_own_is_read_like_a_table(database, tmp_path):
    engine, source = database
    insert(engine, range(6))
    source = {**source, "table": None, "query": "SELECT * FROM readings WHERE flow > 2;"}
    once(tmp_path, source)
    assert keys(tmp_path) == [("p0", n) for n in (3, 4, 5)]


def test_an_empty_table_gives_no_batch(database, tmp_path):
    assert once(tmp_path, database[1]).batches == ()
    assert files(tmp_path) == []


def test_a_missing_column_is_told_with_those_there_are(database, tmp_path):
    config = config_of(database[1], columns={**COLUMNS, "sensors": ["flow", "level"]})
    with pytest.raises(ConnectorError, match="table readings: the column 'level' is missing; it has id, pump, at"):
        pull(open_connector(config), storage_in(tmp_path), config)


def test_a_wrong_password_is_told_without_it(postgres, tmp_path, monkeypatch):
    monkeypatch.setenv("PLANT_PASSWORD", "guessed")
    url = f"postgresql+psycopg://reader@127.0.0.1:{postgres.port}/postgres"
    source = {"kind": "sql", "url": url, "password": {"env": "PLANT_PASSWORD"}, "table": "readings", "key": "id"}
    with pytest.raises(ConnectorError, match="password authentication failed") as told:
        once(tmp_path, source)
    assert "guessed" not in str(told.value)


@pytest.mark.slow
def test_a_server_stopped_half_way_and_started_again_loses_and_repeats_nothing(postgres, tmp_path, monkeypatch):
    monkeypatch.setenv("PLANT_PASSWORD", "secret")
    address = f"127.0.0.1:{postgres.port}/postgres"
    engine = sqlalchemy.create_engine(f"postgresql+psycopg://reader:secret@{address}")
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("DROP TABLE IF EXISTS long"))
        connection.execute(
            sqlalchemy.text(
                "CREATE TABLE long AS SELECT n AS id, 'p0' AS pump, to_timestamp(n) AS at, n AS flow, n AS pressure "
                "FROM generate_series(1, 200000) AS n"
            )
        )
        connection.execute(sqlalchemy.text("CREATE INDEX ON long (id)"))
    engine.dispose()
    source = {
        "kind": "sql",
        "url": f"postgresql+psycopg://reader@{address}",
        "password": {"env": "PLANT_PASSWORD"},
        "table": "long",
        "key": "id",
        "fetch": 1000,
    }
    config = config_of(source, columns=COLUMNS, batch={"rows": 20_000})
    connector, stopped = open_connector(config), []
    fetch = connector.rows

    def stopping(position):
        for number, fetched in enumerate(fetch(position)):
            yield fetched
            if number == 70 and not stopped:
                postgres.stop()
                stopped.append(number)

    connector.rows = stopping
    with pytest.raises(ConnectorError, match="does not answer or refuses"):
        pull(connector, storage_in(tmp_path), config)
    assert 0 < len(keys(tmp_path)) < 200_000
    with pytest.raises(ConnectorError):
        pull(connector, storage_in(tmp_path), config)
    postgres.start()
    pull(connector, storage_in(tmp_path), config)
    connector.close()
    assert keys(tmp_path) == [("p0", n) for n in range(1, 200_001)]
