"""The registry's tables, copied from PostgreSQL as they are at one moment."""

import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import text

from vae_pipeline.backup import database

EXPERIMENT = "insert into experiments (experiment_id, name, lifecycle_stage) values ({0}, 'number {0}', 'active')"


@pytest.fixture
def url(services):
    """A database of PostgreSQL with MLflow's tables and one experiment."""
    if services is None:
        pytest.skip("needs PostgreSQL: run with --services")
    services.postgres.create("one_moment")
    url = services.postgres.url("one_moment", "postgresql+psycopg2")
    with database.opened(url) as engine:
        database.make_tables(engine)
        with engine.begin() as rows:
            rows.execute(text(EXPERIMENT.format(1)))
    return url


@pytest.mark.slow
@pytest.mark.services
def test_what_is_written_after_the_first_look_is_not_in_the_copy(url, tmp_path, monkeypatch):
    looked = database._reflected

    def then_written(connection):
        found = looked(connection)
        if connection.dialect.name == "postgresql":
            with database.opened(url) as engine, engine.begin() as rows:
                rows.execute(text(EXPERIMENT.format(2)))
        return found

    monkeypatch.setattr(database, "_reflected", then_written)
    database.copy_out(url, tmp_path / "registry.db")
    with closing(sqlite3.connect(tmp_path / "registry.db")) as rows:
        assert rows.execute("select name from experiments where experiment_id > 0").fetchall() == [("number 1",)]
