"""A connector by its name: the command, the columns' names of the dataset, one process at a time, forever."""

import json

import pandas as pd
import pytest
import sqlalchemy

from vae_pipeline.catalog import catalog
from vae_pipeline.cli import main
from vae_pipeline.connectors.connect import connect
from vae_pipeline.errors import SettingError
from vae_pipeline.processes import locked
from vae_pipeline.settings import load_settings
from vae_pipeline.sources.table import read_table_files
from vae_pipeline_tests.connectors.servers import Answers
from vae_pipeline_tests.connectors.stand_ins import reading

CATALOG = """
datasets:
  pumps:
    line: timeseries
    kind: table
    title: Our pumps
    licence: internal
    files: {train: "*.parquet"}
    columns: {unit: pump, time: timestamp, label: fault, sensors: [flow, pressure]}
    window: {length: 2}
"""
CONNECTORS = """
connectors:
  history:
    dataset: pumps
    source: {kind: sql, url: "sqlite:///{folder}/plant.db", table: readings, key: id}
    columns: {unit: machine, time: at, clock: s, sensors: {flow: f1, pressure: p1}}
    labels: {rule: limits, limits: {flow: [0, 3]}}
  live:
    dataset: pumps
    source: {kind: http, url: "{url}"}
    columns: {unit: pump, time: at, clock: s, sensors: [flow, pressure]}
    every: 7
"""


@pytest.fixture
def plant(tmp_path, home, monkeypatch):
    """A home with a catalogue, two connectors and what they read; ``answers`` are those of the address, in turn."""
    answers = []
    server = Answers(lambda *_: answers.pop(0) if answers else (200, {}, b"[]"))
    text = CONNECTORS.replace("{folder}", str(tmp_path)).replace("{url}", server.url)
    (tmp_path / "connectors.yaml").write_text(text)
    (tmp_path / "catalog.yaml").write_text(CATALOG)
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'plant.db'}")
    rows = [{"id": n, "machine": "m1", "at": n, "f1": float(n), "p1": 0.5} for n in range(6)]
    pd.DataFrame(rows).to_sql("readings", engine, index=False)
    engine.dispose()
    monkeypatch.setenv("VAE_PIPELINE_CATALOG", str(tmp_path / "catalog.yaml"))
    monkeypatch.setenv("VAE_PIPELINE_CONNECTORS", str(tmp_path / "connectors.yaml"))
    load_settings.cache_clear()
    yield home, answers
    server.stop()


def incoming(home):
    return sorted((home / "storage" / "incoming" / "timeseries" / "pumps").glob("*.parquet"))


def test_the_command_tells_what_it_pulled(plant, capsys):
    assert main(["connect", "history"]) == 0
    assert capsys.readouterr().out == "pulled      6 rows, 0 of them known; 6 rows in 1 batches, 0 held back\n"
    assert main(["connect", "history", "--once"]) == 0
    assert capsys.readouterr().out == "pulled      1 rows, 1 of them known; 0 rows in 0 batches, 0 held back\n"


def test_a_batch_is_a_file_of_its_dataset(plant):
    main(["connect", "history"])
    entry = catalog(load_settings().catalog_files)["pumps"]
    parts, roles = read_table_files(entry, incoming(plant[0])[0].parent)
    assert roles.sensors == ("flow", "pressure")
    assert parts["train"]["flow"].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert parts["train"]["label"].tolist() == [0, 0, 0, 0, 1, 1]
    assert str(parts["train"]["time"].dtype) == "datetime64[ns]"


def test_two_processes_do_not_pull_the_same_connector(plant):
    main(["connect", "history"])
    with (
        locked(plant[0] / "connectors" / "history.lock"),
        pytest.raises(SettingError, match="connector 'history' is pulled by another process already"),
    ):
        connect("history", load_settings())


def test_forever_waits_for_a_source_that_does_not_answer(plant):
    home, answers = plant
    body = [json.dumps([reading(n) for n in range(count)]).encode() for count in (2, 4)]
    answers += [(200, {}, body[0]), (503, {}, b""), (503, {}, b""), (200, {}, body[1])]
    waits, warnings, told = [], [], []

    class StopError(Exception):
        pass

    def wait(seconds):
        waits.append(seconds)
        if len(waits) == 4:
            raise StopError

    with pytest.raises(StopError):
        connect("live", load_settings(), forever=True, tell=told.append, warn=warnings.append, wait=wait)
    assert waits == [7, 14, 28, 7]
    assert [found.rows for found in told] == [2, 2]
    assert len(warnings) == 2
    assert "503 Service Unavailable" in warnings[0]
    assert sum(len(pd.read_parquet(path)) for path in incoming(home)) == 4


def test_an_unknown_dataset_is_told(plant, capsys, tmp_path):
    path = tmp_path / "connectors.yaml"
    path.write_text(path.read_text().replace("dataset: pumps", "dataset: fans"))
    assert main(["connect", "history"]) == 1
    assert "unknown dataset 'fans'" in capsys.readouterr().err


def test_rows_wait_until_they_fill_the_datasets_window(plant, capsys, tmp_path):
    path = tmp_path / "catalog.yaml"
    path.write_text(path.read_text().replace("length: 2", "length: 10"))
    assert main(["connect", "history"]) == 0
    assert capsys.readouterr().out == "pulled      6 rows, 0 of them known; 0 rows in 0 batches, 6 held back\n"
    assert main(["connect", "history", "--flush"]) == 0
    assert len(pd.read_parquet(incoming(plant[0])[0])) == 6
